"""What a pod asks of a node: requests and limits of its containers, and of the pod as a whole.

Init containers run one after the other before the containers, sidecars (init containers that restart)
beside what follows them; a pod needs the greater of both phases. What ``spec.resources`` names for the pod as
a whole takes the place of that sum (k8s.io/component-helpers/resource/helpers.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from meshkit.kube.quantities import ZERO, Quantity, parse, total

Kind = Literal["requests", "limits"]
Amounts = dict[str, Quantity]


def containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, container) of every container and init container."""
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container


def of_container(container: Mapping[str, Any], kind: Kind) -> Amounts:
    """What one container asks for, by resource name."""
    written = (container.get("resources") or {}).get(kind) or {}
    return {name: parse(value) for name, value in written.items()}


def of_whole(spec: Mapping[str, Any], kind: Kind) -> Amounts:
    """What ``spec.resources`` asks for, of the resources that can be asked for so."""
    return {name: amount for name, amount in of_container(spec, kind).items() if of_a_whole_pod(name)}


def of_a_whole_pod(name: str) -> bool:
    """Whether a pod can ask for a resource as a whole."""
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def of_pod(spec: Mapping[str, Any], kind: Kind) -> Amounts:
    """What a pod asks for as a whole, by resource name."""
    overhead = {name: parse(value) for name, value in (spec.get("overhead") or {}).items()}
    asked = of_all_containers(spec, kind) | of_whole(spec, kind)
    return _sum([asked, overhead]) if kind == "requests" else asked


def of_all_containers(spec: Mapping[str, Any], kind: Kind) -> Amounts:
    """What the containers of a pod need at most at one time, by resource name."""
    running = [of_container(each, kind) for each in spec.get("containers") or ()]
    sidecars: list[Amounts] = []
    peaks: list[Amounts] = []
    for container in spec.get("initContainers") or ():
        asked = of_container(container, kind)
        if container.get("restartPolicy") == "Always":
            sidecars.append(asked)
        peaks.append(_sum([*sidecars, *([] if container.get("restartPolicy") == "Always" else [asked])]))
    steady = _sum([*running, *sidecars])
    names = {name for each in (steady, *peaks) for name in each}
    return {name: max(each.get(name, ZERO) for each in (steady, *peaks)) for name in names}


def _sum(amounts: list[Amounts]) -> Amounts:
    names = {name for each in amounts for name in each}
    return {name: total(each[name] for each in amounts if name in each) for name in names}
