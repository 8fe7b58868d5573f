"""What draining nodes will do, computed before anything is touched: the yardstick of a rehearsal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from meshkit.checks.availability import budgets_of, evictions_allowed
from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live, is_ready
from meshkit.meshes.view import View

_UNMOVED = ("DaemonSet", "Node")
"""Owners whose pods a drain leaves where they are: node agents, and what a kubelet runs from files."""


@dataclass(frozen=True)
class ComponentForecast:
    """One Deployment of the control plane: its ready replicas, those that must leave, and what follows."""

    component: str
    """``Deployment istio-system/istiod``."""
    ready: int
    leaving: int
    keeps: bool
    """Whether a ready replica stays at every moment."""
    blocked: bool
    """Whether a budget lets none of them go, so that the drain does not end."""


@dataclass(frozen=True)
class DrainForecast:
    """What is foreseen of draining ``nodes``."""

    nodes: tuple[str, ...]
    pods: tuple[tuple[str, str], ...]
    """Namespace and name of the pods that must leave."""
    unmoved: tuple[str, ...]
    """Pods that nobody would make again: they stay where they are."""
    components: tuple[ComponentForecast, ...]
    alone: tuple[str, ...]
    """Workloads all of whose ready pods stand there: they do not answer until some are made elsewhere."""

    @property
    def carries(self) -> bool:
        """Whether the control plane stays, and the drain ends."""
        return all(one.keeps and not one.blocked for one in self.components)

    def sentences(self) -> Iterator[str]:
        """What is foreseen, one sentence a fact."""
        pods = "1 pod" if len(self.pods) == 1 else f"{len(self.pods)} pods"
        yield f"{pods} must leave {', '.join(self.nodes)}."
        for one in self.components:
            what = (
                "a ready replica stays all the time" if one.keeps else "NO ready replica is left for a time"
            )
            if one.blocked:
                what = "its budget lets none go, so the drain does not end"
            yield f"{one.component}: {one.leaving} of {one.ready} ready replicas leave; {what}."
        for name in self.alone:
            yield f"{name}: all its ready pods stand there; it does not answer until new ones are ready."
        if self.unmoved:
            yield f"Stay where they are, as nobody would make them again: {', '.join(self.unmoved)}."


def nodes_of(view: View, zone: str, node: str) -> tuple[str, ...]:
    """The nodes of a zone, or the one of that name. Raises ``UnknownName`` with the known ones, and
    ``BadInput`` where no other node is left to take the pods.
    """
    if bool(zone) == bool(node):
        raise BadInput("zone", "name either a zone or a node.", remedy="For one: zone='eu-1a'.")
    places = view.zones
    found = tuple(sorted(name for name, where in places.items() if node == name or (zone and where == zone)))
    if not found:
        known = {where for where in places.values() if where} if zone else set(places)
        raise UnknownName("zone" if zone else "node", zone or node, known)
    others = [
        each
        for each in view.of("Node")
        if each["metadata"]["name"] not in found and not (each.get("spec") or {}).get("unschedulable")
    ]
    if not others:
        raise BadInput(
            "zone" if zone else "node",
            "no other node takes pods, so they could go nowhere.",
            remedy="Add nodes, or uncordon some.",
        )
    return found


def foresee(view: View, nodes: Collection[str]) -> DrainForecast:
    """What draining these nodes will do."""
    there = [
        pod for pod in view.of("Pod") if is_live(pod) and (pod.get("spec") or {}).get("nodeName") in nodes
    ]
    moved = [pod for pod in there if (_owner(pod) or _UNMOVED[0]) not in _UNMOVED]
    workloads = [
        each
        for kind in ("Deployment", "StatefulSet")
        for each in view.of(kind)
        if each not in view.components
    ]
    return DrainForecast(
        nodes=tuple(sorted(nodes)),
        pods=tuple(sorted((pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in moved)),
        unmoved=tuple(sorted(title(pod) for pod in there if _owner(pod) is None)),
        components=tuple(_foreseen(view, each, nodes) for each in view.components),
        alone=tuple(title(each) for each in workloads if _stands_alone(view, each, nodes)),
    )


def _owner(pod: Object) -> str | None:
    return next((each["kind"] for each in pod["metadata"].get("ownerReferences") or ()), None)


def _foreseen(view: View, component: Object, nodes: Collection[str]) -> ComponentForecast:
    ready = [pod for pod in view.pods_of(component) if is_ready(pod)]
    leaving = _standing(ready, nodes)
    budgets = budgets_of(view, component, ready)
    replicas = component["spec"].get("replicas", 1)
    allowed = min((evictions_allowed(each, replicas, len(ready)) for each in budgets), default=len(ready))
    # Budgets let only so many go at once, and the next when those are ready elsewhere.
    keeps = not leaving or leaving < len(ready) or allowed < len(ready)
    return ComponentForecast(title(component), len(ready), leaving, keeps, bool(leaving) and allowed < 1)


def _stands_alone(view: View, workload: Object, nodes: Collection[str]) -> bool:
    ready = [pod for pod in view.pods_of(workload) if is_ready(pod)]
    return bool(ready) and _standing(ready, nodes) == len(ready)


def _standing(pods: Sequence[Object], nodes: Collection[str]) -> int:
    return sum(pod["spec"].get("nodeName") in nodes for pod in pods)
