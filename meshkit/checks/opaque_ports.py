"""Opaque ports of Linkerd: what a Service says of a port, its pods must say too.

The caller's proxy reads the Service, the server's its own pod. Where they disagree one of them waits for
bytes of a protocol that never come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, notes
from meshkit.kube.selectors import selects
from meshkit.meshes.view import View, finding

OPAQUE = "config.linkerd.io/opaque-ports"
BY_DEFAULT = "25,587,3306,4444,5432,6379,9300,11211"
"""The chart's value proxy.opaquePorts: what holds where nothing is annotated."""


def check(view: View) -> Iterator[Finding]:
    """Ports that are opaque on a Service and not on its pods, or the other way round."""
    if view.mesh != "linkerd":
        return
    default = str((view.settings.get("proxy") or {}).get("opaquePorts") or BY_DEFAULT)
    labelled: dict[tuple[str, str, str], list[Object]] = defaultdict(list)
    for pod in view.meshed:
        for key, value in labels(pod).items():
            labelled[pod["metadata"]["namespace"], key, value].append(pod)
    for namespace in sorted(view.meshed_namespaces):
        for service in view.of("Service", namespace):
            selector = service["spec"].get("selector")
            if selector and service["spec"].get("clusterIP") != "None":
                # Of one label first: a namespace may have thousands of pods, a Service has a few.
                some = labelled[(namespace, *next(iter(selector.items())))]
                yield from _service(service, [pod for pod in some if selects(selector, pod)], default)


def _service(service: Object, selected: Sequence[Object], default: str) -> Iterator[Finding]:
    if not any(OPAQUE in notes(each) for each in (service, *selected)):
        return
    opaque = _ports(service, default)
    for port in service["spec"].get("ports") or ():
        number = port["port"]
        for pod in selected:
            target = _target(port, pod)
            there = target is not None and _has(_ports(pod, default), target)
            if target is None or there == _has(opaque, number):
                continue
            where = f"port {target} of its pods ({pod['metadata']['name']})"
            if there:
                message = f"{where} is opaque, and port {number} here, which leads there, is not."
                remedy = f"Add {number} to the annotation {OPAQUE} here."
            else:
                message = f"port {number} is opaque here, and {where}, where it leads, is not."
                remedy = f"Add {target} to {OPAQUE} of the pods' template, or of their namespace."
            yield finding("MK0903", "warning", service, message, remedy)
            break


def _target(port: Mapping[str, Any], pod: Object) -> int | None:
    """The pod's port behind one of a Service; None where the pod has none of that name."""
    target = port.get("targetPort") or port["port"]
    return target if isinstance(target, int) else _named_ports(pod).get(str(target))


def _named_ports(pod: Object) -> dict[str, int]:
    spec = pod.get("spec") or {}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    listed = (each for container in containers for each in container.get("ports") or ())
    return {each["name"]: int(each["containerPort"]) for each in listed if each.get("name")}


def _ports(annotated: Object, default: str) -> list[tuple[int, int]]:
    """The ports that an annotation lists as (first, last): numbers, ranges, and names of a pod's ports."""
    found = []
    for each in notes(annotated).get(OPAQUE, default).split(","):
        low, _, high = each.strip().partition("-")
        if low.isdigit() and (high or low).isdigit():
            found.append((int(low), int(high or low)))
        elif annotated.get("kind") == "Pod" and each.strip() in (names := _named_ports(annotated)):
            found.append((names[each.strip()],) * 2)
    return found


def _has(ports: Sequence[tuple[int, int]], number: int) -> bool:
    return any(low <= number <= high for low, high in ports)
