"""May any one node or zone be lost, or drained? Computed from the live pods, nodes and budgets of the control
plane, not from what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import selects
from meshkit.meshes.view import View, finding


def check(view: View) -> Iterator[Finding]:
    """What a lost or drained node or zone would stop."""
    for component in view.components:
        yield from _component(view, component)
        yield from _refused(component)
    yield from _unplaced(view)


def _refused(component: Object) -> Iterator[Finding]:
    """Pods that the API server refuses to make: a quota, a webhook, Pod Security."""
    for condition in (component.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            told = str(condition.get("message") or condition.get("reason", "")).rstrip(".")
            message = f"its pods cannot be made: {told}."
            yield finding("MK0409", "error", component, message, "Remove what refuses them.")


def _unplaced(view: View) -> Iterator[Finding]:
    for pod in view.of("Pod", view.home):
        for condition in (pod.get("status") or {}).get("conditions") or ():
            if condition.get("reason") == "Unschedulable" and condition["status"] == "False":
                told = str(condition.get("message") or "the scheduler does not say why").rstrip(".")
                message = f"no node takes it: {told}."
                yield finding("MK0408", "warning", pod, message, "Add room or nodes, or ask for less.")


def _component(view: View, component: Object) -> Iterator[Finding]:
    wanted = component["spec"].get("replicas", 1)
    ready = [pod for pod in view.pods_of(component) if is_ready(pod)]
    name = title(component)
    if not ready:
        message = (
            f"{name} has no ready replica: nothing is injected, no certificate renewed, no route changed."
        )
        yield finding("MK0401", "error", component, message, "Look at its pods: kubectl describe pods.")
        return
    if len(ready) < wanted:
        message = f"{len(ready)} of {wanted} replicas are ready."
        yield finding("MK0402", "warning", component, message, "Look at the pods that are not ready.")
    yield from _losses(view, component, ready)
    yield from _drains(view, component, ready)


def _losses(view: View, component: Object, ready: Sequence[Object]) -> Iterator[Finding]:
    places: tuple[tuple[str, str, Callable[[Object], str | None]], ...] = (
        ("MK0403", "node", lambda pod: pod["spec"].get("nodeName")),
        ("MK0404", "zone", view.zone_of),
    )
    for code, what, place_of in places:
        places_held = {place_of(pod) for pod in ready}
        if len(places_held) == 1:
            (only,) = places_held
            where = f"{what} {only}" if only else f"nodes without a {what} label"
            message = f"all {len(ready)} ready replicas stand on {where}: losing it stops the component."
            remedy = f"Run replicas in another {what}: more replicas, a topology spread, nodes with labels."
            yield finding(code, "warning", component, message, remedy)


def _drains(view: View, component: Object, ready: Sequence[Object]) -> Iterator[Finding]:
    budgets = budgets_of(view, component, ready)
    if not budgets:
        message = "no PodDisruptionBudget covers it: draining nodes may take every replica at once."
        yield finding("MK0405", "warning", component, message, "Add a budget with maxUnavailable: 1.")
    if len(budgets) > 1:
        listed = " and ".join(budget["metadata"]["name"] for budget in budgets)
        message = f"budgets {listed} cover the same pods: Kubernetes then refuses every eviction."
        yield finding("MK0406", "error", component, message, "Delete all but one of them.")
    for budget in budgets:
        if evictions_allowed(budget, component["spec"].get("replicas", 1), len(ready)) < 1:
            message = (
                f"it lets none of {len(ready)} ready replicas be evicted: no node of theirs can be drained."
            )
            remedy = "Run one replica more, or allow maxUnavailable: 1."
            yield finding("MK0407", "warning", budget, message, remedy)


def budgets_of(view: View, component: Object, pods: Sequence[Object]) -> list[Object]:
    """The budgets that cover these pods of a component."""
    return [
        budget
        for budget in view.of("PodDisruptionBudget", component["metadata"]["namespace"])
        if all(selects((budget["spec"].get("selector") or {}).get("matchLabels") or {}, p) for p in pods)
    ]


def evictions_allowed(budget: Object, replicas: int, ready: int) -> int:
    """How many pods a budget lets go now: Kubernetes rounds percentages of both kinds up."""
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        return _count(spec["maxUnavailable"], replicas) - (replicas - ready)
    return ready - _count(spec.get("minAvailable", 0), replicas)


def _count(written: object, replicas: int) -> int:
    text = str(written)
    return -(-replicas * int(text[:-1]) // 100) if text.endswith("%") else int(text)
