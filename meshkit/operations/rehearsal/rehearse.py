"""``mk.plan_rehearsal`` tests high availability by draining a node or a zone and measuring the effect.

The plan forecasts what will happen. ``mk.apply``, with the place's name as confirmation, cordons the nodes (a
change in the journal, so that an undo uncordons them even if this process dies) and evicts their pods within
their disruption budgets. Meanwhile it counts the control plane's ready replicas and requests injection. At
the end it always uncordons the nodes and compares the measurements with the forecast.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from meshkit.checks.availability import budgets_over
from meshkit.checks.planned.drain import DrainForecast, forecast_drain, nodes_of
from meshkit.cluster import ready, rights, snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.cluster.rights import Right
from meshkit.errors import BadInput, Conflict, ManualActionRequired, MeshkitError, Unhealthy
from meshkit.facts import ClusterRef, Kind, Need
from meshkit.kube import manifests
from meshkit.kube.kinds import NODE, POD
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S
from meshkit.meshes.view import NEEDED, View
from meshkit.operations.change import apply_steps, plan_steps, undo_steps
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.plan import Change, Plan, pending
from meshkit.operations.progress import Note, OnEvent, PodsRemain, WaitStarted, noop
from meshkit.operations.rehearsal.measurement import Counted, Watcher
from meshkit.operations.which_mesh import mesh_of

MANAGER = "meshkit-rehearsal"
LIMIT_S = 300.0
"""Time limit for the pods to leave, a common timeout of ``kubectl drain``."""
LOOK_S = 0.5
HELD_S = 5.0
"""The time in seconds after which a pod that may not be evicted is reported: a new pod starts in less."""
MISSED_IN_A_ROW = 2
"""The number of consecutive dry runs of injection that may fail. A replica that terminates may drop a call,
and controllers retry the creation of pods.
"""
RIGHTS = (Right("create", "", "pods/eviction"), Right("list", "", "pods"), Right("get", "", "nodes"))
"""The rights that are required besides changing nodes and writing the journal."""


@dataclass(frozen=True)
class Rehearsal:
    """The result of a rehearsal: the forecast, the measurements, and the change that cordoned the nodes.

    That change has been undone.
    """

    cluster: ClusterRef
    mesh: str
    place: str
    forecast: DrainForecast
    counted: Counted
    change: Change

    @property
    def agrees(self) -> bool:
        """Whether the measurements agree with the forecast."""
        return not list(self._surprises())

    def require(self) -> None:
        """Raise ``Unhealthy`` if the result differs from the forecast or a component was unavailable."""
        _require_none([*self._surprises(), *_away(self.forecast)], self.place)

    def as_record(self) -> dict[str, Any]:
        """For programs."""
        record = {**_record(self.cluster, self.mesh, self.place, self.forecast), "agrees": self.agrees}
        return {**record, "counted": vars(self.counted), "change": self.change.id}

    def _surprises(self) -> Iterator[str]:
        counted = self.counted
        for each in self.forecast.components:
            least = counted.least_ready.get(each.component, 0)
            if each.keeps != (least > 0):
                yield f"{each.component}: at least {least} ready replicas, which differs from the forecast."
        if counted.left and self.forecast.ends:
            yield f"{len(counted.left)} pods did not leave: {', '.join(counted.left[:3])}."
        away = counted.unanswered_in_a_row > MISSED_IN_A_ROW
        if away and all(each.keeps for each in self.forecast.components):
            yield f"Injection failed {counted.unanswered} of {counted.asked} times: {counted.trouble}"

    def _lines(self) -> Iterator[str]:
        yield from _computed(self.cluster, self.mesh, self.place, self.forecast)
        yield "Counted:"
        yield from (f"  {sentence}" for sentence in self.counted.sentences())
        surprises = list(self._surprises())
        yield from (f"  DIFFERS from the forecast: {surprise}" for surprise in surprises)
        yield "The result differs from the forecast." if surprises else "The result agrees with the forecast."

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__


@dataclass(frozen=True)
class RehearsalPlan:
    """The plan of a drain with its forecast, made by ``mk.plan_rehearsal`` and run by ``mk.apply``.

    ``confirmation`` is the zone's or node's name. With ``force``, the drain runs even if no control plane
    replica would remain available, or if it could not complete. The pods have ``limit_s`` seconds to leave.
    """

    mesh: str
    place: str
    cluster: ClusterRef
    forecast: DrainForecast
    cordon: Plan
    force: bool = False
    limit_s: float = LIMIT_S
    clock: Clock = field(default_factory=SystemClock)

    empty = False

    @property
    def confirmation(self) -> str:
        """The zone's or node's name, which must be repeated to apply the plan."""
        return self.place

    def require(self) -> None:
        """Raise ``Unhealthy`` if the forecast says that a component becomes unavailable."""
        _require_none(list(_away(self.forecast)), self.place)

    def as_record(self) -> dict[str, Any]:
        """For programs."""
        return {
            **_record(self.cluster, self.mesh, self.place, self.forecast),
            "agrees": None,
            "counted": None,
            "change": "",
        }

    def __str__(self) -> str:
        applied = f"Nothing was changed. Run mk.apply(plan, cluster, confirm={self.place!r}) to drain it."
        return "\n".join([*_computed(self.cluster, self.mesh, self.place, self.forecast), applied])

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.forecast.pods))

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Rehearsal:
        """Drain the nodes, measure the effect on the mesh, and uncordon them; ``mk.apply`` calls this.

        Raises ``BadInput`` if the drain would leave no control plane replica available or could not complete,
        unless ``force`` is set; ``Conflict`` if the cluster has changed since the forecast; and
        ``ManualActionRequired`` if the nodes could not be uncordoned.
        """
        view = _view(cluster, self.mesh)
        now = forecast_drain(view, self.forecast.nodes)
        if now.components != self.forecast.components:
            problem = f"The control plane's replicas on {self.place} have changed since the plan."
            raise Conflict(problem, remedy="Plan again.")
        self._require_sense(view)
        rights.require(cluster.api, RIGHTS)
        watcher = Watcher(cluster, view, LOOK_S)
        change = apply_steps(self.cordon, cluster, progress=progress, why=why or f"rehearsal of {self.place}")
        try:
            watcher.start()
            left = drained(cluster, now, self.limit_s, self.clock, progress, budgets=_budgets(view, now))
        finally:
            watcher.stop()
            _open(cluster, change.id, progress)
            _await_components(cluster, view, progress)
        counted = watcher.counted().with_left(left)
        return Rehearsal(cluster.ref, self.mesh, self.place, self.forecast, counted, change)

    def _require_sense(self, view: View) -> None:
        if not view.components:
            raise BadInput(
                "mesh", f"{view.mesh} has no control plane in this cluster.", remedy="Install it first."
            )
        if not (self.forecast.carries or self.force):
            raise BadInput(
                "zone",
                f"{self.place} cannot be drained safely: {' '.join(self.forecast.sentences())}",
                remedy="Run 'meshkit check' for the causes, or drain it anyway with force=True (--force).",
            )


def plan_rehearsal(
    cluster: Cluster,
    *,
    mesh: str | None = None,
    zone: str = "",
    node: str = "",
    force: bool = False,
    limit_s: float = LIMIT_S,
) -> RehearsalPlan:
    """Plan to drain a zone or a node, and forecast the effect on the mesh; changes nothing."""
    mesh = mesh_of(cluster, mesh)
    view = _view(cluster, mesh)
    nodes, place = nodes_of(view, zone, node), zone or node
    return RehearsalPlan(
        mesh=mesh,
        place=place,
        cluster=cluster.ref,
        forecast=forecast_drain(view, nodes),
        cordon=_cordoning(cluster, mesh, place, nodes),
        force=force,
        limit_s=limit_s,
    )


def _view(cluster: Cluster, mesh: str) -> View:
    return View(snapshot.read(cluster, [Need(kind) for kind in NEEDED]), mesh, dt.datetime.now(dt.UTC))


def _require_none(troubles: list[str], place: str) -> None:
    if troubles:
        raise Unhealthy(f"{place}: {' '.join(troubles)}", remedy="Run 'meshkit check' for the causes.")


def _away(forecast: DrainForecast) -> Iterator[str]:
    return (f"{each.component} was unavailable." for each in forecast.components if not each.keeps)


def _record(cluster: ClusterRef, mesh: str, place: str, forecast: DrainForecast) -> dict[str, Any]:
    lists = {name: [vars(each) for each in getattr(forecast, name)] for name in ("components", "held")}
    computed = {**vars(forecast), **lists}
    return {"cluster": vars(cluster), "mesh": mesh, "place": place, "forecast": computed}


def _computed(cluster: ClusterRef, mesh: str, place: str, forecast: DrainForecast) -> Iterator[str]:
    yield f"{place} of cluster {cluster}, {mesh}. Forecast:"
    yield from (f"  {sentence}" for sentence in forecast.sentences())


def _cordoning(cluster: Cluster, mesh: str, place: str, nodes: tuple[str, ...]) -> Plan:
    """Plan the cordon of the nodes; nodes that are already cordoned stay so afterwards."""
    steps = [
        Step(manifests.obj(NODE, name, spec={"unschedulable": True}), manager=MANAGER, partial=True)
        for name in nodes
    ]
    return plan_steps(steps, cluster, Operation("rehearsal", mesh, place), what=f"Rehearsal of {place}")


def _budgets(view: View, forecast: DrainForecast) -> dict[tuple[str, str], str]:
    """The budgets over each pod that must leave, in words."""
    found = {}
    for pod in view.of("Pod"):
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        over = budgets_over(view, pod) if key in forecast.pods else []
        if over:
            found[key] = " and ".join(map(title, over))
    return found


def drained(
    cluster: Cluster,
    forecast: DrainForecast,
    limit_s: float,
    clock: Clock,
    progress: OnEvent = noop,
    *,
    budgets: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Evict pods until all have left or the time limit passes, and return those that remain.

    A pod that its budget holds back for HELD_S seconds is reported, with the budget.
    """
    until_s = clock.now() + limit_s
    refused_s: dict[tuple[str, str], float] = {}
    waiting, reported = set(forecast.pods), -1
    while waiting:
        if len(waiting) != reported:
            reported = len(waiting)
            progress(PodsRemain(reported, len(forecast.pods)))
        for namespace, name in sorted(waiting):
            pod = cluster.api.get(POD, name, namespace)
            # A StatefulSet recreates its pod under the same name on another node.
            if pod is None or pod["spec"].get("nodeName") not in forecast.nodes:
                waiting.discard((namespace, name))
            elif "deletionTimestamp" not in pod["metadata"] and not cluster.api.evict(name, namespace):
                first_s = refused_s.setdefault((namespace, name), clock.now())
                if clock.now() - first_s >= HELD_S:
                    refused_s[(namespace, name)] = math.inf
                    by = budgets.get((namespace, name), "a disruption budget")
                    progress(Note(f"Pod {namespace}/{name} waits: {by} lets none of its pods go."))
        if waiting and clock.now() >= until_s:
            break
        clock.sleep(LOOK_S if waiting else 0)
    return tuple(f"{namespace}/{name}" for namespace, name in sorted(waiting))


def _open(cluster: Cluster, change_id: str, progress: OnEvent) -> None:
    if not change_id:
        return
    try:
        undo_steps(change_id, cluster)
    except MeshkitError as error:
        raise ManualActionRequired(
            f"The nodes could not be uncordoned: {error.message}",
            remedy=f"Run 'meshkit undo {change_id}' or 'kubectl uncordon'.",
        ) from error
    progress(Note("The nodes are uncordoned."))


def _await_components(cluster: Cluster, view: View, progress: OnEvent) -> None:
    """Wait until every replica of the control plane is ready."""
    progress(WaitStarted("all control plane replicas are ready"))
    for each in view.components:
        meta = each["metadata"]
        kind = Kind(each["apiVersion"], each["kind"])
        try:
            wait = Wait("available", ROLLOUT_TIMEOUT_S)
            ready.wait_for(cluster.api, kind, meta["name"], meta["namespace"], wait)
        except MeshkitError as error:
            progress(Note(f"{title(each)}: {error.message}"))
