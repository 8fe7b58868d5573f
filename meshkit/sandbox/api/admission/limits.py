"""LimitRange admission, which sets default requests and limits of pods and enforces their bounds.

Follows Kubernetes' plugin/pkg/admission/limitranger. Defaults are set before validation, and again after the
webhooks, which may add containers. The error lists every violated bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.kube.quantities import Quantity, parse
from meshkit.sandbox.api import status
from meshkit.sandbox.api.admission import compute
from meshkit.sandbox.api.admission.compute import Amounts, Kind
from meshkit.sandbox.api.requests import Object
from meshkit.sandbox.api.storage.store import Store

_ANNOTATION = "kubernetes.io/limit-ranger"
_MAX_FILLED = 10_000
_KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("requests", "defaultRequest", "request"),
    ("limits", "default", "limit"),
)


def fill(store: Store, namespace: str, pod: Object) -> None:
    """Set the requests and limits that a new pod's containers omit from the LimitRanges, in place."""
    changes: list[str] = []
    containers = sum(1 for _ in compute.containers(pod["spec"]))
    for item in _items(store, namespace, "Container"):
        if containers * sum(len(item.get(field) or ()) for _, field, _ in _KINDS) > _MAX_FILLED:
            raise status.too_large(f"the LimitRanges of the namespace add more than {_MAX_FILLED} values")
        for path, container in compute.containers(pod["spec"]):
            word = "init container" if path.startswith("init") else "container"
            for kind, field, singular in _KINDS:
                given = container.setdefault("resources", {}).get(kind) or {}
                missing = {
                    name: value for name, value in (item.get(field) or {}).items() if name not in given
                }
                if missing:
                    container["resources"][kind] = given | missing
                    changes.append(f"{', '.join(sorted(missing))} {singular} for {word} {container['name']}")
    if changes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations.setdefault(_ANNOTATION, "LimitRanger plugin set: " + "; ".join(changes))


def broken(store: Store, namespace: str, pod: Mapping[str, Any]) -> str:
    """Return the violated bounds of a pod in Kubernetes' wording, or an empty string."""
    spec = pod["spec"]
    breaches: list[str] = []
    for item in _items(store, namespace, "Container"):
        for _, container in compute.containers(spec):
            amounts = [compute.of_container(container, kind) for kind, _, _ in _KINDS]
            breaches += _breaches(item, "Container", amounts[0], amounts[1])
    for item in _items(store, namespace, "Pod"):
        breaches += _breaches(item, "Pod", compute.of_pod(spec, "requests"), compute.of_pod(spec, "limits"))
    return breaches[0] if len(breaches) == 1 else f"[{', '.join(breaches)}]" if breaches else ""


def complete(limit_range: Object) -> None:
    """Set the defaults that follow from a LimitRange's own bounds, in place.

    ``default`` is taken from ``max``; ``defaultRequest`` from ``default``, then from ``min``.
    """
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        default = (item.get("max") or {}) | (item.get("default") or {})
        requested = (item.get("min") or {}) | default | (item.get("defaultRequest") or {})
        for field, values in (("default", default), ("defaultRequest", requested)):
            if values:
                item[field] = values


def _items(store: Store, namespace: str, kind: str) -> Iterator[Mapping[str, Any]]:
    for stored in store.objects("limitranges", namespace):
        yield from (item for item in stored.object["spec"]["limits"] if item.get("type") == kind)


def _breaches(item: Mapping[str, Any], kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in _bounds(item, "min"):
        text = f"minimum {name} usage per {kind} is {bound}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif requests[name] < bound:
            yield f"{text}, but request is {requests[name]}"
        elif name in limits and limits[name] < bound:
            yield f"{text}, but limit is {limits[name]}"
    for name, bound in _bounds(item, "max"):
        text = f"maximum {name} usage per {kind} is {bound}"
        if name not in limits:
            yield f"{text}.  No limit is specified"
        elif limits[name] > bound:
            yield f"{text}, but limit is {limits[name]}"
        elif name in requests and requests[name] > bound:
            yield f"{text}, but request is {requests[name]}"
    for name, bound in _bounds(item, "maxLimitRequestRatio"):
        text = f"{name} max limit to request ratio per {kind} is {bound}"
        if name not in requests or not requests[name].amount:
            yield f"{text}, but no request is specified or request is 0"
        elif name not in limits or not limits[name].amount:
            yield f"{text}, but no limit is specified or limit is 0"
        elif (ratio := limits[name].amount / requests[name].amount) > bound.amount:
            yield f"{text}, but provided ratio is {float(ratio):f}"


def _bounds(item: Mapping[str, Any], field: str) -> list[tuple[str, Quantity]]:
    return [(name, parse(value)) for name, value in sorted((item.get(field) or {}).items())]
