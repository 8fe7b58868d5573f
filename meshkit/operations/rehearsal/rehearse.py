"""``mk.plan_rehearsal``: high availability proven by draining a node or a whole zone, and counted while it
happens.

The plan says what will happen. Applied, with the place's name as confirmation, its nodes are cordoned (a
change in the journal, so that an undo opens them again whatever becomes of this process) and their pods
evicted within their budgets. Meanwhile the control plane's ready replicas are counted and injection is asked
for. At the end the nodes are opened again, always, and what was counted is compared with the forecast.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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
"""How long the pods have to leave, as long as kubectl is usually given for a node."""
LOOK_S = 0.5
MISSED_IN_A_ROW = 2
"""Dry runs of injection that may fail one after the other: a replica that ends may take a call along, and
whoever makes a pod asks again.
"""
RIGHTS = (Right("create", "", "pods/eviction"), Right("list", "", "pods"), Right("get", "", "nodes"))
"""What is needed besides changing nodes and writing the journal."""


@dataclass(frozen=True)
class Rehearsal:
    """How a rehearsal went: the forecast, what was counted while it happened, and the change that cordoned
    the nodes (undone since).
    """

    cluster: ClusterRef
    mesh: str
    place: str
    forecast: DrainForecast
    counted: Counted
    change: Change

    @property
    def agrees(self) -> bool:
        """Whether it went as forecast."""
        return not list(self._surprises())

    def require(self) -> None:
        """Raise ``Unhealthy`` where it did not go as forecast, or a component was away for a time."""
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
                yield f"{each.component}: {least} ready replicas at the least, computed was otherwise."
        if counted.left and not any(each.blocked for each in self.forecast.components):
            yield f"{len(counted.left)} pods did not leave: {', '.join(counted.left[:3])}."
        away = counted.unanswered_in_a_row > MISSED_IN_A_ROW
        if away and all(each.keeps for each in self.forecast.components):
            yield f"Injection failed {counted.unanswered} of {counted.asked} times: {counted.trouble}"

    def _lines(self) -> Iterator[str]:
        yield from _computed(self.cluster, self.mesh, self.place, self.forecast)
        yield "Counted:"
        yield from (f"  {sentence}" for sentence in self.counted.sentences())
        surprises = list(self._surprises())
        yield from (f"  OTHERWISE than computed: {each}" for each in surprises)
        yield "It went otherwise than computed." if surprises else "It went as computed."

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__


@dataclass(frozen=True)
class RehearsalPlan:
    """A drain as ``mk.apply`` runs it, with its forecast. Made by ``mk.plan_rehearsal``.

    ``confirmation`` is the zone's or node's name. With ``force`` it is run although it would take the whole
    control plane away, or could not end. The pods have ``limit_s`` seconds to leave.
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
        """The zone's or node's name once more."""
        return self.place

    def require(self) -> None:
        """Raise ``Unhealthy`` where a component would be away for a time."""
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
        applied = f"Nothing was touched. mk.apply(plan, cluster, confirm={self.place!r}) does it."
        return "\n".join([*_computed(self.cluster, self.mesh, self.place, self.forecast), applied])

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.forecast.pods))

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Rehearsal:
        """Drain the nodes, count what becomes of the mesh meanwhile, and open them again. ``mk.apply`` calls
        this.

        What would take the whole control plane, or could not end, is refused with ``BadInput`` unless
        ``force``; another cluster than was computed with, with ``Conflict``. ``ManualActionRequired`` where
        the nodes could not be opened again.
        """
        view = _view(cluster, self.mesh)
        now = forecast_drain(view, self.forecast.nodes)
        if now.components != self.forecast.components:
            problem = f"The control plane's replicas on {self.place} are not those of the plan any more."
            raise Conflict(problem, remedy="Plan again.")
        self._require_sense(view)
        rights.require(cluster.api, RIGHTS)
        watcher = Watcher(cluster, view, LOOK_S)
        change = apply_steps(self.cordon, cluster, progress=progress, why=why or f"rehearsal of {self.place}")
        try:
            watcher.start()
            left = drained(cluster, now, self.limit_s, self.clock, progress)
        finally:
            watcher.stop()
            _open(cluster, change.id, progress)
            _await_components(cluster, view, progress)
        counted = watcher.counted().with_left(left)
        return Rehearsal(cluster.ref, self.mesh, self.place, self.forecast, counted, change)

    def _require_sense(self, view: View) -> None:
        if not view.components:
            raise BadInput("mesh", f"{view.mesh} has no control plane here.", remedy="Install it first.")
        if not (self.forecast.carries or self.force):
            raise BadInput(
                "zone",
                f"{self.place} cannot be spared: {' '.join(self.forecast.sentences())}",
                remedy="'meshkit check' says what is missing; force=True (--force) does it all the same.",
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
    """What draining a zone or a node would do to the mesh, to be applied. Changes nothing."""
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
        raise Unhealthy(f"{place}: {' '.join(troubles)}", remedy="'meshkit check' says what is missing.")


def _away(forecast: DrainForecast) -> Iterator[str]:
    return (f"{each.component} was away." for each in forecast.components if not each.keeps)


def _record(cluster: ClusterRef, mesh: str, place: str, forecast: DrainForecast) -> dict[str, Any]:
    computed = {**vars(forecast), "components": [vars(each) for each in forecast.components]}
    return {"cluster": vars(cluster), "mesh": mesh, "place": place, "forecast": computed}


def _computed(cluster: ClusterRef, mesh: str, place: str, forecast: DrainForecast) -> Iterator[str]:
    yield f"{place} of cluster {cluster}, {mesh}. Computed:"
    yield from (f"  {sentence}" for sentence in forecast.sentences())


def _cordoning(cluster: Cluster, mesh: str, place: str, nodes: tuple[str, ...]) -> Plan:
    """The change that closes the nodes for new pods; those that somebody closed before stay closed after."""
    steps = [
        Step(manifests.obj(NODE, name, spec={"unschedulable": True}), manager=MANAGER, partial=True)
        for name in nodes
    ]
    return plan_steps(steps, cluster, Operation("rehearsal", mesh, place), what=f"Rehearsal of {place}")


def drained(
    cluster: Cluster, forecast: DrainForecast, limit_s: float, clock: Clock, progress: OnEvent = noop
) -> tuple[str, ...]:
    """Evict until all have left or the time is over; returns who has not left."""
    until_s = clock.now() + limit_s
    waiting, reported = set(forecast.pods), -1
    while waiting:
        if len(waiting) != reported:
            reported = len(waiting)
            progress(PodsRemain(reported, len(forecast.pods)))
        for namespace, name in sorted(waiting):
            pod = cluster.api.get(POD, name, namespace)
            # A StatefulSet makes its pod again under the same name, elsewhere.
            if pod is None or pod["spec"].get("nodeName") not in forecast.nodes:
                waiting.discard((namespace, name))
            elif "deletionTimestamp" not in pod["metadata"]:
                cluster.api.evict(name, namespace)
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
            f"The nodes could not be opened again: {error.message}",
            remedy=f"'meshkit undo {change_id}', or 'kubectl uncordon'.",
        ) from error
    progress(Note("The nodes are open again."))


def _await_components(cluster: Cluster, view: View, progress: OnEvent) -> None:
    """Wait until every replica of the control plane is back."""
    progress(WaitStarted("the control plane is whole again"))
    for each in view.components:
        meta = each["metadata"]
        kind = Kind(each["apiVersion"], each["kind"])
        try:
            wait = Wait("available", ROLLOUT_TIMEOUT_S)
            ready.wait_for(cluster.api, kind, meta["name"], meta["namespace"], wait)
        except MeshkitError as error:
            progress(Note(f"{title(each)}: {error.message}"))
