"""Checks that the control plane survives the loss or drain of any single node or zone.

The checks use the live pods, nodes and budgets, not the intent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import matches
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find components that the loss or drain of a node or zone would stop."""
    for component in view.components:
        yield from _component(view, component)
        yield from _refused(component)
    yield from _unscheduled(view)


def _refused(component: Object) -> Iterator[Finding]:
    """Find pods that the API server refuses to create, by a quota, a webhook or Pod Security."""
    for condition in (component.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            reason = str(condition.get("message") or condition.get("reason", "")).rstrip(".")
            message = f"its pods cannot be created: {reason}."
            yield codes.finding(codes.PODS_REFUSED, title(component), message)


def _unscheduled(view: View) -> Iterator[Finding]:
    for pod in view.of("Pod", view.home):
        for condition in (pod.get("status") or {}).get("conditions") or ():
            if condition.get("reason") == "Unschedulable" and condition["status"] == "False":
                reason = str(condition.get("message") or "the scheduler gives no reason").rstrip(".")
                message = f"the scheduler finds no node for it: {reason}."
                yield codes.finding(codes.POD_UNSCHEDULABLE, title(pod), message)


def _component(view: View, component: Object) -> Iterator[Finding]:
    desired = component["spec"].get("replicas", 1)
    ready = [pod for pod in view.pods_of(component) if is_ready(pod)]
    name = title(component)
    if not ready:
        message = "it has no ready replica: no injection, no certificates, no changes of routes."
        yield codes.finding(codes.NO_READY_REPLICA, name, message)
        return
    if len(ready) < desired:
        message = f"{len(ready)} of {desired} replicas are ready."
        yield codes.finding(codes.REPLICA_MISSING, name, message)
    yield from _losses(view, name, ready)
    yield from _drains(view, component, ready)


def _losses(view: View, name: str, ready: Sequence[Object]) -> Iterator[Finding]:
    places: tuple[tuple[codes.Code, str, Callable[[Object], str | None]], ...] = (
        (codes.ALL_ON_ONE_NODE, "node", lambda pod: pod["spec"].get("nodeName")),
        (codes.ALL_IN_ONE_ZONE, "zone", view.zone_of),
    )
    for code, what, place_of in places:
        used = {place_of(pod) for pod in ready}
        if len(used) == 1:
            (only,) = used
            where = f"{what} {only}" if only else f"nodes without a {what} label"
            message = f"all {len(ready)} ready replicas are on {where}: losing it stops the component."
            yield codes.finding(code, name, message)


def _drains(view: View, component: Object, ready: Sequence[Object]) -> Iterator[Finding]:
    budgets = budgets_over(view, *ready)
    if not budgets:
        message = "no PodDisruptionBudget covers it: draining nodes may evict all replicas at once."
        yield codes.finding(codes.NO_BUDGET, title(component), message)
    if len(budgets) > 1:
        names = " and ".join(budget["metadata"]["name"] for budget in budgets)
        message = f"budgets {names} cover the same pods: Kubernetes then refuses every eviction."
        yield codes.finding(codes.TWO_BUDGETS, title(component), message)
    for budget in budgets:
        if evictions_allowed(budget, component["spec"].get("replicas", 1), len(ready)) < 1:
            message = f"it allows no eviction of {len(ready)} ready replicas: their nodes cannot be drained."
            yield codes.finding(codes.BUDGET_BLOCKS_DRAIN, title(budget), message)


def budgets_over(view: View, *pods: Object) -> list[Object]:
    """The disruption budgets that select all of these pods, all of one namespace; none without a pod."""
    found = view.of("PodDisruptionBudget", pods[0]["metadata"]["namespace"]) if pods else ()
    return [
        budget for budget in found if all(matches(budget["spec"].get("selector") or {}, pod) for pod in pods)
    ]


def evictions_allowed(budget: Object, replicas: int, ready: int) -> int:
    """The number of evictions that a budget allows now. Kubernetes rounds both percentages up."""
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        return _count(spec["maxUnavailable"], replicas) - (replicas - ready)
    return ready - _count(spec.get("minAvailable", 0), replicas)


def _count(value: object, replicas: int) -> int:
    text = str(value)
    return -(-replicas * int(text[:-1]) // 100) if text.endswith("%") else int(text)
