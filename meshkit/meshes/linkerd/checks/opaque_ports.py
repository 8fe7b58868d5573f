"""Opaque ports of Linkerd: a Service and its pods must agree on them.

The caller's sidecar reads the Service, the server's sidecar reads its own pod. Where they disagree, one of
them waits for bytes of a protocol that never come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import annotations_of, labels, title
from meshkit.kube.selectors import selects
from meshkit.meshes.linkerd.checks.chart_values import chart_values
from meshkit.meshes.view import View

OPAQUE = "config.linkerd.io/opaque-ports"
BY_DEFAULT = "25,587,3306,4444,5432,6379,9300,11211"
"""The chart's value proxy.opaquePorts, which holds where nothing is annotated."""


def check(view: View) -> Iterator[Finding]:
    """Ports that are opaque on a Service and not on its pods, or the other way round."""
    default = str((chart_values(view).get("proxy") or {}).get("opaquePorts") or BY_DEFAULT)
    labelled: dict[tuple[str, str, str], list[Object]] = defaultdict(list)
    for pod in view.meshed:
        for key, value in labels(pod).items():
            labelled[pod["metadata"]["namespace"], key, value].append(pod)
    for namespace in sorted(view.meshed_namespaces):
        for service in view.of("Service", namespace):
            selector = service["spec"].get("selector")
            if selector and service["spec"].get("clusterIP") != "None":
                # Look up one label first: a namespace may have thousands of pods, a Service has a few.
                candidates = labelled[(namespace, *next(iter(selector.items())))]
                yield from _service(service, [pod for pod in candidates if selects(selector, pod)], default)


def _service(service: Object, pods: Sequence[Object], default: str) -> Iterator[Finding]:
    if not any(OPAQUE in annotations_of(obj) for obj in (service, *pods)):
        return
    opaque = _ports(service, default)
    for port in service["spec"].get("ports") or ():
        yield from _port(service, port, _contains(opaque, port["port"]), pods, default)


def _port(
    service: Object, port: Mapping[str, Any], is_opaque: bool, pods: Sequence[Object], default: str
) -> Iterator[Finding]:
    """A finding for the first pod that disagrees with a port of its Service."""
    number = port["port"]
    for pod in pods:
        target = _target(port, pod)
        if target is None or is_opaque == _contains(_ports(pod, default), target):
            continue
        name = pod["metadata"]["name"]
        if is_opaque:
            message = f"port {number} is opaque here, and port {target} of pod {name} behind it is not."
            remedy = f"Add {target} to {OPAQUE} of the pods' template, or of their namespace."
        else:
            message = f"port {number} is not opaque here, and port {target} of pod {name} behind it is."
            remedy = f"Add {number} to the annotation {OPAQUE} here."
        yield codes.finding(codes.OPAQUE_ON_ONE_SIDE, title(service), message, remedy)
        return


def _target(port: Mapping[str, Any], pod: Object) -> int | None:
    """The pod's port behind a port of a Service; None where the pod has none of that name."""
    target = port.get("targetPort") or port["port"]
    return target if isinstance(target, int) else _named_ports(pod).get(str(target))


def _named_ports(pod: Object) -> dict[str, int]:
    spec = pod.get("spec") or {}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    ports = (port for container in containers for port in container.get("ports") or ())
    return {port["name"]: int(port["containerPort"]) for port in ports if port.get("name")}


def _ports(annotated: Object, default: str) -> list[tuple[int, int]]:
    """The ports that an annotation lists as (first, last): numbers, ranges, and names of a pod's ports."""
    ranges = []
    for part in annotations_of(annotated).get(OPAQUE, default).split(","):
        low, _, high = part.strip().partition("-")
        if low.isdigit() and (high or low).isdigit():
            ranges.append((int(low), int(high or low)))
        elif annotated.get("kind") == "Pod" and part.strip() in (names := _named_ports(annotated)):
            ranges.append((names[part.strip()],) * 2)
    return ranges


def _contains(ranges: Sequence[tuple[int, int]], number: int) -> bool:
    return any(low <= number <= high for low, high in ranges)
