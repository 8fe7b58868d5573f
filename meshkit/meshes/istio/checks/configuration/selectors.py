"""Checks of Sidecars and Telemetries: two for the same pods, none selected, and without effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, title
from meshkit.kube.pods import is_live
from meshkit.meshes.istio.ambient.membership import is_ambient
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.revisions import INJECTION


class _Kind(NamedTuple):
    resource: str
    selector: str
    """The field of spec with the selector, and the field in it with the labels."""
    labels: str
    conflict: Code
    selects_nothing: Code


_KINDS = (
    _Kind("sidecars", "workloadSelector", "labels", codes.SIDECARS_CONFLICT, codes.SIDECAR_SELECTS_NOTHING),
    _Kind(
        "telemetries", "selector", "matchLabels", codes.TELEMETRIES_CONFLICT, codes.TELEMETRY_SELECTS_NOTHING
    ),
)


def check(world: World) -> Iterator[Finding]:
    """Find Sidecars and Telemetries that conflict, select nothing or have no effect."""
    for kind in _KINDS:
        yield from dict.fromkeys(_of_kind(world, kind))
    yield from _providers(world)
    for item in world.registry.of("sidecars"):
        if ((item.get("spec") or {}).get("outboundTrafficPolicy") or {}).get("egressProxy"):
            message = "spec.outboundTrafficPolicy.egressProxy is ignored."
            yield codes.finding(codes.DEPRECATED_FIELD, title(item), message)


def _of_kind(world: World, kind: _Kind) -> Iterator[Finding]:
    for_all: dict[str, list[Object]] = defaultdict(list)
    of_pod: dict[int, list[Object]] = defaultdict(list)
    names: dict[int, str] = {}
    for item in world.registry.of(kind.resource):
        namespace, wanted = item["metadata"]["namespace"], _labels(item, kind)
        if (item.get("spec") or {}).get("targetRefs"):
            continue
        if not wanted:
            for_all[namespace].append(item)
            continue
        pods = [pod for pod in world.registry.pods_with(wanted, namespace) if is_live(pod)]
        if not pods:
            text = ",".join(f"{key}={value}" for key, value in wanted.items())
            yield codes.finding(kind.selects_nothing, title(item), f"no pod has {text}.")
        for pod in pods:
            if kind.resource == "sidecars" and id(pod) in world.ambient:
                message = f"pod {pod['metadata']['name']} is of the ambient mode and has no sidecar."
                yield codes.finding(codes.SIDECAR_WITHOUT_EFFECT, title(item), message)
                continue
            of_pod[id(pod)].append(item)
            names[id(pod)] = pod["metadata"]["name"]
    for namespace, items in for_all.items():
        if kind.resource == "sidecars" and namespace in _ambient(world):
            for item in items:
                message = f"namespace {namespace} is of the ambient mode."
                yield codes.finding(codes.SIDECAR_WITHOUT_EFFECT, title(item), message)
        else:
            yield from _together(items, f"all pods of namespace {namespace}", kind.conflict)
    for number, items in of_pod.items():
        yield from _together(items, f"pod {names[number]}", kind.conflict)


def _labels(item: Object, kind: _Kind) -> Mapping[str, str]:
    found: Mapping[str, str] = ((item.get("spec") or {}).get(kind.selector) or {}).get(kind.labels) or {}
    return found


def _together(items: list[Object], whom: str, code: Code) -> Iterator[Finding]:
    for item in items if len(items) > 1 else ():
        other = next(each for each in items if each is not item)
        yield codes.finding(code, title(item), f"it applies to {whom}, and so does {title(other)}.")


def _ambient(world: World) -> set[str]:
    return {
        item["metadata"]["name"]
        for item in world.registry.of("namespaces")
        if is_ambient(item) and INJECTION not in labels(item)
    }


def _providers(world: World) -> Iterator[Finding]:
    """Find access logs without a provider, where the mesh has no default one."""
    if world.default_log_providers:
        return
    for item in world.registry.of("telemetries"):
        for entry in (item.get("spec") or {}).get("accessLogging") or ():
            if not entry.get("providers") and not entry.get("disabled"):
                message = "spec.accessLogging names no provider, and the mesh has no default one."
                yield codes.finding(codes.TELEMETRY_WITHOUT_PROVIDER, title(item), message)
