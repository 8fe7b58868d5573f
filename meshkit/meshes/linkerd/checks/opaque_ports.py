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
from meshkit.meshes.linkerd.meaning import protocols
from meshkit.meshes.model.pods import target_port
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Ports that are opaque on a Service and not on its pods, or the other way round."""
    default = str((chart_values(view).get("proxy") or {}).get("opaquePorts") or protocols.BY_DEFAULT)
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
    if not any(protocols.OPAQUE in annotations_of(obj) for obj in (service, *pods)):
        return
    for port in service["spec"].get("ports") or ():
        is_opaque = protocols.is_opaque(service, int(port["port"]), default)
        yield from _port(service, port, is_opaque, pods, default)


def _port(
    service: Object, port: Mapping[str, Any], is_opaque: bool, pods: Sequence[Object], default: str
) -> Iterator[Finding]:
    """A finding for the first pod that disagrees with a port of its Service."""
    number = port["port"]
    for pod in pods:
        target = target_port(pod, port)
        if target is None or is_opaque == protocols.is_opaque(pod, target, default):
            continue
        name = pod["metadata"]["name"]
        if is_opaque:
            message = f"port {number} is opaque here, and port {target} of pod {name} behind it is not."
            remedy = f"Add {target} to {protocols.OPAQUE} of the pods' template, or of their namespace."
        else:
            message = f"port {number} is not opaque here, and port {target} of pod {name} behind it is."
            remedy = f"Add {number} to the annotation {protocols.OPAQUE} here."
        yield codes.finding(codes.OPAQUE_ON_ONE_SIDE, title(service), message, remedy)
        return
