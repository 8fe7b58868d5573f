"""``mk.rehearse``: high availability proven by draining a node or a whole zone, and counted while it happens.

First it is computed what will happen; with the place's name as consent its nodes are cordoned (a change in
the journal, so that an undo opens them again whatever becomes of this process) and their pods evicted within
their budgets. Meanwhile the control plane's ready replicas are counted and injection is asked for. At the end
the nodes are opened again, always, and what was counted is compared with what was computed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from meshkit.checks.planned.drain import DrainForecast, forecast_drain, nodes_of
from meshkit.cluster import ready, rights, snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.rights import Right
from meshkit.errors import BadInput, MeshkitError, NeedsPerson, Unhealthy
from meshkit.facts import ClusterRef, Kind, Need
from meshkit.kube import manifests
from meshkit.kube.kinds import NODE, POD
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S
from meshkit.meshes import registry
from meshkit.meshes.view import NEEDED, View
from meshkit.operations.change import apply, plan_steps, require_consent, silent, undo
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.plan import Plan, pending
from meshkit.operations.rehearsal.measurement import Counted, Watcher

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
Say = Callable[[str], None]


@dataclass(frozen=True)
class Rehearsal:
    """What was computed, and (None: nothing was touched) what was counted while it happened."""

    cluster: ClusterRef
    mesh: str
    place: str
    foresight: DrainForecast
    counted: Counted | None = None
    change_id: str = ""

    @property
    def agrees(self) -> bool | None:
        """Whether it went as computed; None before it was done."""
        return None if self.counted is None else not list(self._surprises())

    def require(self) -> None:
        """Raise ``Unhealthy`` where it did not go as computed, or a component was away for a time."""
        lost = [each.component for each in self.foresight.components if not each.keeps]
        troubles = [*(self._surprises() if self.counted else ()), *(f"{name} was away." for name in lost)]
        if troubles:
            raise Unhealthy(
                f"{self.place}: {' '.join(troubles)}", remedy="'meshkit check' says what is missing."
            )

    def as_record(self) -> dict[str, Any]:
        """For programs."""
        foresight = {**vars(self.foresight), "components": [vars(c) for c in self.foresight.components]}
        counted = vars(self.counted) if self.counted else None
        told = {"mesh": self.mesh, "place": self.place, "agrees": self.agrees, "change": self.change_id}
        return {"cluster": vars(self.cluster), **told, "foresight": foresight, "counted": counted}

    def _surprises(self) -> Iterator[str]:
        counted = self.counted
        assert counted is not None
        for each in self.foresight.components:
            least = counted.least_ready.get(each.component, 0)
            if each.keeps != (least > 0):
                yield f"{each.component}: {least} ready replicas at the least, computed was otherwise."
        if counted.left and not any(each.blocked for each in self.foresight.components):
            yield f"{len(counted.left)} pods did not leave: {', '.join(counted.left[:3])}."
        away = counted.unanswered_in_a_row > MISSED_IN_A_ROW
        if away and all(each.keeps for each in self.foresight.components):
            yield f"Injection failed {counted.unanswered} of {counted.asked} times: {counted.trouble}"

    def _lines(self) -> Iterator[str]:
        yield f"{self.place} of cluster {self.cluster}, {self.mesh}. Computed:"
        yield from (f"  {sentence}" for sentence in self.foresight.sentences())
        if self.counted is None:
            yield f"Nothing was touched. With consent={self.place!r} it is done."
            return
        yield "Counted:"
        yield from (f"  {sentence}" for sentence in self.counted.sentences())
        surprises = list(self._surprises())
        yield from (f"  OTHERWISE than computed: {each}" for each in surprises)
        yield "It went otherwise than computed." if surprises else "It went as computed."

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self._lines())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(0 if self.counted else len(self.foresight.pods))


@dataclass(frozen=True)
class Drain:
    """How nodes are drained: how long their pods may take, by which clock, and who hears of it."""

    limit_s: float = LIMIT_S
    clock: Clock = field(default_factory=SystemClock)
    say: Say = silent


def rehearse(
    cluster: Cluster,
    *,
    mesh: str,
    zone: str = "",
    node: str = "",
    consent: str = "",
    although: bool = False,
    drain: Drain | None = None,
) -> Rehearsal:
    """Drain a zone or a node, count what becomes of the mesh meanwhile, and open it again.

    Without ``consent`` (the zone's or node's name once more) nothing is touched: the result says what would
    happen. What would take the whole control plane, or could not end, is refused with ``BadInput`` unless
    ``although``. ``NeedsPerson`` where the nodes could not be opened again.
    """
    registry.mesh(mesh)
    how = drain or Drain()
    view = View(snapshot.read(cluster, [Need(kind) for kind in NEEDED]), mesh, dt.datetime.now(dt.UTC))
    nodes, place = nodes_of(view, zone, node), zone or node
    foresight = forecast_drain(view, nodes)
    if not consent:
        return Rehearsal(cluster.ref, mesh, place, foresight)
    _require_sense(view, foresight, place, consent, although=although)
    rights.require(cluster.api, RIGHTS)
    plan = _cordoning(cluster, mesh, nodes)
    watcher = Watcher(cluster, view, LOOK_S)
    change = apply(plan, cluster, why=f"rehearsal of {place}")
    try:
        watcher.start()
        left = drained(cluster, foresight, how)
    finally:
        watcher.stop()
        _open(cluster, change.id, how.say)
        _await_components(cluster, view, how.say)
    counted = watcher.counted()
    return Rehearsal(cluster.ref, mesh, place, foresight, counted.with_left(left), change.id)


def _require_sense(view: View, foresight: DrainForecast, place: str, consent: str, *, although: bool) -> None:
    require_consent(consent, place)
    if not view.components:
        raise BadInput("mesh", f"{view.mesh} has no control plane here.", remedy="Install it first.")
    if not (foresight.carries or although):
        raise BadInput(
            "zone",
            f"{place} cannot be spared: {' '.join(foresight.sentences())}",
            remedy="'meshkit check' says what is missing; although=True (--although) does it all the same.",
        )


def _cordoning(cluster: Cluster, mesh: str, nodes: tuple[str, ...]) -> Plan:
    """The change that closes the nodes for new pods; those that somebody closed before stay closed after."""
    steps = [
        Step(manifests.obj(NODE, name, spec={"unschedulable": True}), manager=MANAGER, partial=True)
        for name in nodes
    ]
    return plan_steps(steps, cluster, what="Rehearsal", mesh=mesh)


def drained(cluster: Cluster, foresight: DrainForecast, how: Drain) -> tuple[str, ...]:
    """Evict until all have left or the time is over; returns who has not left."""
    until_s = how.clock.now() + how.limit_s
    waiting, said = set(foresight.pods), -1
    while waiting:
        if len(waiting) != said:
            said = len(waiting)
            how.say(f"{said} of {len(foresight.pods)} pods are still there.")
        for namespace, name in sorted(waiting):
            pod = cluster.api.get(POD, name, namespace)
            # A StatefulSet makes its pod again under the same name, elsewhere.
            if pod is None or pod["spec"].get("nodeName") not in foresight.nodes:
                waiting.discard((namespace, name))
            elif "deletionTimestamp" not in pod["metadata"]:
                cluster.api.evict(name, namespace)
        if waiting and how.clock.now() >= until_s:
            break
        how.clock.sleep(LOOK_S if waiting else 0)
    return tuple(f"{namespace}/{name}" for namespace, name in sorted(waiting))


def _open(cluster: Cluster, change_id: str, say: Say) -> None:
    if not change_id:
        return
    try:
        undo(change_id, cluster)
    except MeshkitError as error:
        raise NeedsPerson(
            f"The nodes could not be opened again: {error.message}",
            remedy=f"'meshkit undo {change_id}', or 'kubectl uncordon'.",
        ) from error
    say("The nodes are open again.")


def _await_components(cluster: Cluster, view: View, say: Say) -> None:
    """Wait until every replica of the control plane is back."""
    say("Waiting for the control plane to be whole again.")
    for each in view.components:
        meta = each["metadata"]
        kind = Kind(each["apiVersion"], each["kind"])
        try:
            wait = Wait("available", ROLLOUT_TIMEOUT_S)
            ready.wait_for(cluster.api, kind, meta["name"], meta["namespace"], wait)
        except MeshkitError as error:
            say(f"{title(each)}: {error.message}")
