"""LimitRange: requests and limits that a namespace's pods get when they name none, and their bounds.

As Kubernetes' plugin/pkg/admission/limitranger: defaults come before validation (and again after webhooks,
which may have added containers); every bound that is broken is named.
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
    """Give the containers of a new pod what the namespace's LimitRanges say, in place."""
    told: list[str] = []
    containers = sum(1 for _ in compute.containers(pod["spec"]))
    for item in _items(store, namespace, "Container"):
        if containers * sum(len(item.get(field) or ()) for _, field, _ in _KINDS) > _MAX_FILLED:
            raise status.too_large(f"the LimitRanges of the namespace add more than {_MAX_FILLED} values")
        for path, container in compute.containers(pod["spec"]):
            word = "init container" if path.startswith("init") else "container"
            for kind, field, singular in _KINDS:
                given = container.setdefault("resources", {}).get(kind) or {}
                lacking = {
                    name: value for name, value in (item.get(field) or {}).items() if name not in given
                }
                if lacking:
                    container["resources"][kind] = given | lacking
                    told.append(f"{', '.join(sorted(lacking))} {singular} for {word} {container['name']}")
    if told:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations.setdefault(_ANNOTATION, "LimitRanger plugin set: " + "; ".join(told))


def broken(store: Store, namespace: str, pod: Mapping[str, Any]) -> str:
    """What is wrong with a pod's requests and limits, in Kubernetes' words; empty when nothing is."""
    spec = pod["spec"]
    found: list[str] = []
    for item in _items(store, namespace, "Container"):
        for _, container in compute.containers(spec):
            asked = [compute.of_container(container, kind) for kind, _, _ in _KINDS]
            found += _breaches(item, "Container", asked[0], asked[1])
    for item in _items(store, namespace, "Pod"):
        found += _breaches(item, "Pod", compute.of_pod(spec, "requests"), compute.of_pod(spec, "limits"))
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else ""


def complete(limit_range: Object) -> None:
    """The defaults that follow from a LimitRange's own bounds: max -> default -> defaultRequest <- min."""
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
