"""Forecast the effect of draining nodes on a mesh, without changing anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from meshkit.checks.availability import budgets_over, evictions_allowed
from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live, is_ready
from meshkit.kube.selectors import matches
from meshkit.meshes.view import View

_UNMOVED = ("DaemonSet", "Node")
"""Kinds of owners whose pods a drain does not evict: DaemonSets, and Nodes (static pods)."""


@dataclass(frozen=True)
class ComponentForecast:
    """The forecast for one Deployment of the control plane: ready and evicted replicas, and the effect."""

    component: str
    """``Deployment istio-system/istiod``."""
    ready: int
    leaving: int
    keeps: bool
    """Whether at least one replica is ready at all times."""
    blocked: bool
    """Whether a budget allows no eviction, so that the drain does not end."""


@dataclass(frozen=True)
class HeldPods:
    """Pods of other workloads whose eviction a disruption budget refuses now."""

    budget: str
    """``PodDisruptionBudget shop/web``."""
    pods: tuple[str, ...]
    why: str
    for_good: bool
    """Whether it refuses even if all its pods are ready, so that the drain does not end."""

    def __str__(self) -> str:
        shown = ", ".join(self.pods[:3]) + (f" and {len(self.pods) - 3} more" if len(self.pods) > 3 else "")
        effect = "the drain does not end" if self.for_good else "the drain waits for more of them to be ready"
        return f"{self.budget} holds {shown}: {self.why}, so {effect}."


@dataclass(frozen=True)
class DrainForecast:
    """The expected effect of draining ``nodes``."""

    nodes: tuple[str, ...]
    pods: tuple[tuple[str, str], ...]
    """Namespace and name of the pods that must leave."""
    unmoved: tuple[str, ...]
    """Pods without a controller, which the drain does not evict, as nothing would create them again."""
    components: tuple[ComponentForecast, ...]
    alone: tuple[str, ...]
    """Workloads whose ready pods are all on these nodes; they are down until new pods are ready."""
    held: tuple[HeldPods, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether no budget refuses the eviction of pods for good."""
        blocked = any(component.blocked for component in self.components)
        return not blocked and not any(held.for_good for held in self.held)

    @property
    def carries(self) -> bool:
        """Whether the control plane stays available and the drain ends."""
        return self.ends and all(component.keeps for component in self.components)

    def sentences(self) -> Iterator[str]:
        """The expected effects, one sentence each."""
        pods = "1 pod" if len(self.pods) == 1 else f"{len(self.pods)} pods"
        yield f"{pods} must leave {', '.join(self.nodes)}."
        for component in self.components:
            effect = "a ready replica stays at every moment"
            if not component.keeps:
                effect = "NO ready replica is left for a time"
            if component.blocked:
                effect = "its budget allows no eviction, so the drain does not end"
            leaving = f"{component.leaving} of {component.ready} ready replicas leave"
            yield f"{component.component}: {leaving}; {effect}."
        yield from map(str, self.held)
        for name in self.alone:
            yield f"{name}: all of its ready pods are there; it does not answer until new pods are ready."
        if self.unmoved:
            yield f"These pods stay, as no controller would create them again: {', '.join(self.unmoved)}."


def nodes_of(view: View, zone: str, node: str) -> tuple[str, ...]:
    """The nodes of a zone, or the named node.

    Raises ``UnknownName`` for an unknown zone or node, and ``BadInput`` if no other node can take the pods.
    """
    if bool(zone) == bool(node):
        raise BadInput("zone", "name either a zone or a node.", remedy="For one: zone='eu-1a'.")
    zones = view.zones
    names = tuple(sorted(name for name, where in zones.items() if node == name or (zone and where == zone)))
    if not names:
        known = {where for where in zones.values() if where} if zone else set(zones)
        raise UnknownName("zone" if zone else "node", zone or node, known)
    others = [
        other
        for other in view.of("Node")
        if other["metadata"]["name"] not in names and not (other.get("spec") or {}).get("unschedulable")
    ]
    if not others:
        raise BadInput(
            "zone" if zone else "node",
            "no other node can take the pods.",
            remedy="Add nodes, or uncordon some.",
        )
    return names


def forecast_drain(view: View, nodes: Collection[str]) -> DrainForecast:
    """Compute the effect of draining these nodes."""
    pods = [
        pod for pod in view.of("Pod") if is_live(pod) and (pod.get("spec") or {}).get("nodeName") in nodes
    ]
    leaving = [pod for pod in pods if (_owner(pod) or _UNMOVED[0]) not in _UNMOVED]
    workloads = [
        workload
        for kind in ("Deployment", "StatefulSet")
        for workload in view.of(kind)
        if workload not in view.components
    ]
    return DrainForecast(
        nodes=tuple(sorted(nodes)),
        pods=tuple(sorted((pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in leaving)),
        unmoved=tuple(sorted(title(pod) for pod in pods if _owner(pod) is None)),
        components=tuple(_forecast_component(view, component, nodes) for component in view.components),
        alone=tuple(title(workload) for workload in workloads if _is_only_on(view, workload, nodes)),
        held=tuple(_held(view, leaving)),
    )


def _held(view: View, leaving: Sequence[Object]) -> Iterator[HeldPods]:
    """Yield what budgets hold back, except of the control plane, whose components have their own forecast."""
    own = [title(pod) for component in view.components for pod in view.pods_of(component)]
    guarded: dict[str, tuple[Object, list[Object]]] = {}
    for pod in leaving:
        over = budgets_over(view, pod)
        if len(over) > 1:
            names = " and ".join(sorted(map(title, over)))
            why = "Kubernetes refuses to evict a pod that several budgets select"
            yield HeldPods(names, (_place(pod),), why, for_good=True)
        elif over and is_ready(pod) and title(pod) not in own:
            guarded.setdefault(title(over[0]), (over[0], []))[1].append(pod)
    for _, (budget, pods) in sorted(guarded.items()):
        yield from _held_by(view, budget, pods)


def _held_by(view: View, budget: Object, pods: Sequence[Object]) -> Iterator[HeldPods]:
    selector = budget["spec"].get("selector") or {}
    live = view.of("Pod", budget["metadata"]["namespace"])
    covered = [pod for pod in live if is_live(pod) and matches(selector, pod)]
    expected = (budget.get("status") or {}).get("expectedPods") or len(covered)
    ready = sum(map(is_ready, covered))
    if evictions_allowed(budget, expected, ready) < 1:
        for_good = evictions_allowed(budget, expected, expected) < 1
        why = f"it lets none of {expected} go" if for_good else f"{ready} of {expected} are ready"
        yield HeldPods(title(budget), tuple(sorted(map(_place, pods))), why, for_good)


def _place(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _owner(pod: Object) -> str | None:
    return next((owner["kind"] for owner in pod["metadata"].get("ownerReferences") or ()), None)


def _forecast_component(view: View, component: Object, nodes: Collection[str]) -> ComponentForecast:
    ready = [pod for pod in view.pods_of(component) if is_ready(pod)]
    leaving = _count_on(ready, nodes)
    budgets = budgets_over(view, *ready)
    replicas = component["spec"].get("replicas", 1)
    allowed = min((evictions_allowed(budget, replicas, len(ready)) for budget in budgets), default=len(ready))
    # Budgets limit concurrent evictions; the next eviction is allowed when a new replica is ready elsewhere.
    keeps = not leaving or leaving < len(ready) or allowed < len(ready)
    return ComponentForecast(title(component), len(ready), leaving, keeps, bool(leaving) and allowed < 1)


def _is_only_on(view: View, workload: Object, nodes: Collection[str]) -> bool:
    ready = [pod for pod in view.pods_of(workload) if is_ready(pod)]
    return bool(ready) and _count_on(ready, nodes) == len(ready)


def _count_on(pods: Sequence[Object], nodes: Collection[str]) -> int:
    return sum(pod["spec"].get("nodeName") in nodes for pod in pods)
