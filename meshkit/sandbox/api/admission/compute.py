"""Compute the requests and limits of a pod and of its containers.

Init containers run one after the other before the containers. Sidecars (init containers that restart) run
alongside everything that follows. A pod needs the maximum of both phases. A pod-level value in
``spec.resources`` replaces that sum (k8s.io/component-helpers/resource/helpers.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from meshkit.kube.quantities import ZERO, Quantity, parse, total

Kind = Literal["requests", "limits"]
Amounts = dict[str, Quantity]


def containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, container) of every container and init container."""
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container


def of_container(container: Mapping[str, Any], kind: Kind) -> Amounts:
    """Return the requests or limits of one container by resource name."""
    written = (container.get("resources") or {}).get(kind) or {}
    return {name: parse(value) for name, value in written.items()}


def of_whole(spec: Mapping[str, Any], kind: Kind) -> Amounts:
    """Return the pod-level requests or limits, for the resources that support them."""
    return {name: amount for name, amount in of_container(spec, kind).items() if of_a_whole_pod(name)}


def of_a_whole_pod(name: str) -> bool:
    """Return whether a resource can be requested at pod level."""
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def of_pod(spec: Mapping[str, Any], kind: Kind) -> Amounts:
    """Return the effective requests or limits of a pod by resource name."""
    overhead = {name: parse(value) for name, value in (spec.get("overhead") or {}).items()}
    amounts = of_all_containers(spec, kind) | of_whole(spec, kind)
    return _sum([amounts, overhead]) if kind == "requests" else amounts


def of_all_containers(spec: Mapping[str, Any], kind: Kind) -> Amounts:
    """Return the peak requests or limits of a pod's containers by resource name."""
    running = [of_container(container, kind) for container in spec.get("containers") or ()]
    sidecars: list[Amounts] = []
    peaks: list[Amounts] = []
    for container in spec.get("initContainers") or ():
        own = of_container(container, kind)
        if container.get("restartPolicy") == "Always":
            sidecars.append(own)
        peaks.append(_sum([*sidecars, *([] if container.get("restartPolicy") == "Always" else [own])]))
    steady = _sum([*running, *sidecars])
    names = {name for phase in (steady, *peaks) for name in phase}
    return {name: max(phase.get(name, ZERO) for phase in (steady, *peaks)) for name in names}


def _sum(amounts: list[Amounts]) -> Amounts:
    names = {name for entry in amounts for name in entry}
    return {name: total(entry[name] for entry in amounts if name in entry) for name in names}
