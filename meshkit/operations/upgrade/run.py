"""``mk.plan_upgrade`` upgrades a mesh: control plane, namespaces, and removal of the old control plane.

An upgrade is several changes, each journaled and undone like any other; state.py describes them. The plan
holds the first one, validated on the server, and a summary of the rest; each later change is planned from the
state of the cluster at that time. The calls of the whole mesh are judged after each wave of restarts, and a
wave that makes them worse rolls back its namespace. ``upgrade_back`` rolls back the whole upgrade.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meshkit import codes
from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, ChangeFailed, GateHalted, ManualActionRequired, MeshkitError
from meshkit.facts import ClusterRef, Finding, Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.kube.helm import RELEASE, release_of
from meshkit.kube.metadata import title
from meshkit.kube.steps import RESTART_MANAGER, Step
from meshkit.meshes import registry
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.operations.change import apply_steps, locked, plan_steps
from meshkit.operations.plan import Change, Changes, Plan, pending
from meshkit.operations.progress import ChangeStarted, OnEvent, UndoStarted, noop
from meshkit.operations.traffic_gate import TrafficGateOptions, apply_gated, restarts
from meshkit.operations.upgrade import retirement
from meshkit.operations.upgrade import state as upgrade
from meshkit.operations.upgrade.report import UpgradeStatus, next_of, old_node_proxies
from meshkit.operations.upgrade.rollback import (
    CONTROL_PLANE,
    LOCK,
    NAMESPACE,
    RETIRE,
    WHOLE_MESH,
    back_changes,
    back_under_lock,
    describe,
    operation_of_phase,
)
from meshkit.operations.upgrade.state import NamespaceProgress, UpgradeState
from meshkit.operations.which_mesh import mesh_of


@dataclass(frozen=True)
class Target:
    """The target of an upgrade; a ``revision`` is installed beside the old control plane (Istio only).

    Without a revision, the control plane is replaced in place. Plans use the current state of the cluster.
    """

    cluster: Cluster
    to: ControlPlane
    mesh: str
    order: tuple[str, ...] = ()
    at_once: int = 1

    def __post_init__(self) -> None:
        registry.mesh(self.mesh)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Use 1.")

    def read(self, *more: Any) -> UpgradeState:
        """Read the state of the upgrade."""
        empty = UpgradeState(Snapshot(), self.mesh, self.to)
        seen = snapshot.read(self.cluster, (*upgrade.needs(empty.home), *more))
        return UpgradeState(seen, self.mesh, self.to)

    def ordered(self, state: UpgradeState) -> list[NamespaceProgress]:
        """The namespaces in the order in which they move: those named first, then the smallest first."""
        places = {name: place for place, name in enumerate(self.order)}
        return sorted(state.spaces, key=lambda one: places.get(one.name, len(places)))

    def next_change(self, *, without: Collection[str] = ()) -> Plan:
        """Plan the next change; empty if only the old control plane is left to be retired.

        ``without`` names namespaces to skip. Raises ``BadInput`` for an upgrade that the mesh does not
        support, and what ``mk.plan`` raises.
        """
        state = self.read()
        upgrade.require_upgradable(state)
        first = self._planned(self._alone(), CONTROL_PLANE, f"Upgrade: control plane {state.version}")
        if not first.empty and _replaces(first, state):
            what = f"{first.what} in place"
            return replace(first, what=what, facts={**first.facts, "in_place": True})
        if not first.empty:
            return first
        for space in self.ordered(state):
            if not space.settled and space.name not in without:
                steps = upgrade.move_steps(state, space, self.at_once)
                what = f"Upgrade: namespace {space.name}"
                return self._plan(steps, NAMESPACE, what, namespace=space.name)
        return self._planned(self._settled(state), WHOLE_MESH, "Upgrade: mesh-wide settings")

    def retirement(self) -> Plan:
        """Plan the removal of the old control plane; the new one becomes the default before."""
        state = self.read(*retirement.needs(self.mesh, UpgradeState(Snapshot(), self.mesh, self.to).home))
        if not state.old:
            return self._plan([], RETIRE, "Upgrade: retirement")
        retirement.require_unused(state)
        retirement.require_ours(state)
        retirement.require_handed_over(state)
        planner = registry.mesh(self.mesh).planner
        seen = snapshot.read(self.cluster, planner.needs(self.to))
        steps = [*planner.plan(self.to, seen), *retirement.retirement(state)]
        findings = [
            codes.finding(
                codes.OLD_REVISION_STAYS, title(one), "it carries the old revision's label and stays."
            )
            for one in retirement.left_over(state)
        ]
        what = f"Upgrade: retire {', '.join(one.revision for one in state.old)}"
        return replace(self._plan(steps, RETIRE, what, findings=findings), lock=LOCK)

    def _alone(self) -> ControlPlane:
        """The control plane without the parts that make it the default, which follow after the namespaces."""
        return self.to.model_copy(update={"tags": (), "gateway": None}) if self.to.revision else self.to

    def _settled(self, state: UpgradeState) -> ControlPlane:
        """The complete control plane; the default tag is handed over when its current owner is retired."""
        held = any(one.revision == DEFAULT_REVISION for one in state.old)
        kept = tuple(tag for tag in self.to.tags if not (held and tag == DEFAULT_REVISION))
        return self.to.model_copy(update={"tags": kept})

    def _planned(self, intent: ControlPlane, phase: str, what: str) -> Plan:
        planner = registry.mesh(self.mesh).planner
        seen = snapshot.read(self.cluster, planner.needs(intent))
        return self._plan(planner.plan(intent, seen), phase, what)

    def _plan(
        self,
        steps: Sequence[Step],
        phase: str,
        what: str,
        *,
        namespace: str = "",
        findings: Sequence[Finding] = (),
    ) -> Plan:
        version = UpgradeState(Snapshot(), self.mesh, self.to).version
        revision = self.to.revision or ""
        operation = operation_of_phase(self.mesh, version, revision, phase, namespace=namespace)
        return plan_steps(steps, self.cluster, operation, what=what, findings=findings)


@dataclass(frozen=True)
class Move:
    """A namespace that an upgrade will move: its current workloads, in waves of restarts."""

    namespace: str
    waves: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return (
            f"namespace {self.namespace}: {'; '.join(', '.join(wave) for wave in self.waves) or 'its label'}"
        )


@dataclass(frozen=True)
class UpgradePlan:
    """A plan of ``mk.plan_upgrade``: the next change and a summary of the rest."""

    to: ControlPlane
    mesh: str
    cluster: ClusterRef
    first: Plan
    """The next change, validated on the server; empty if only the retirement is left."""
    moves: tuple[Move, ...]
    """The namespaces that move after it, in this order; each is planned again at its time."""
    retire: bool = False
    """Whether the old control plane is removed at the end."""
    order: tuple[str, ...] = ()
    at_once: int = 1
    gate: TrafficGateOptions = field(default_factory=TrafficGateOptions)

    confirmation = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.first.empty

    def __str__(self) -> str:
        return "\n".join([str(self.first), *(f"then {one}" for one in self.later())])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.first.steps))

    def to_json(self) -> str:
        """The plan as a JSON text."""
        return json.dumps({**json.loads(self.first.to_json()), "then": list(self.later())}, indent=2)

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Changes:
        """Upgrade everything, starting with the plan's first change; ``mk.apply`` calls this.

        Raises what ``plan_upgrade`` raises; ``ChangeFailed`` if a wave made calls worse: its namespace was
        rolled back or, if its label is older than this change or it has none, the whole upgrade; and
        ``ManualActionRequired`` before any namespace moves if no calls are seen (see ``TrafficGateOptions``),
        and at the end for what must be upgraded by hand.
        """
        target = Target(cluster, self.to, self.mesh, self.order, self.at_once)
        done: list[Change] = []
        made: set[tuple[str, str]] = set()
        plan = self.first
        with locked(cluster, LOCK, progress) as report:
            while not plan.empty and _key(plan) not in made:
                made.add(_key(plan))
                progress(ChangeStarted(plan.what))
                done.append(self._carried_out(plan, cluster, report, why or self._why))
                plan = target.next_change(without={name for _, name in made})
            _require_all(target, plan)
            if self.retire:
                going = replace(target.retirement(), lock="")
                if not going.empty:
                    done.append(apply_steps(going, cluster, progress=report, why=why or self._why))
        return Changes(self._why, tuple(done))

    @property
    def _why(self) -> str:
        """The reason that the journal stores with each change."""
        return f"upgrade to {describe(self.first.record)}"

    def later(self) -> Iterator[str]:
        """Yield the changes after the first one, as text."""
        yield from map(str, self.moves)
        if self.retire:
            yield "the old control plane is retired"

    def _carried_out(self, plan: Plan, cluster: Cluster, progress: OnEvent, why: str) -> Change:
        if not self._touches_calls(plan):
            return apply_steps(plan, cluster, progress=progress, why=why)
        # Undoing this change alone restores the old proxies only if this change selects the revision.
        alone = any(one.step.manager != RESTART_MANAGER for one in plan.steps) and not _in_place(plan)
        try:
            return apply_gated(plan, cluster, self.gate, progress=progress, why=why, undo_alone=alone)
        except GateHalted as worse:
            progress(UndoStarted("the whole upgrade", worse.message))
            raise _all_back(worse, cluster, progress) from worse

    def _touches_calls(self, plan: Plan) -> bool:
        """Whether calls may be affected: pods restart, a gateway moves, or the control plane is replaced in
        place.
        """
        if plan.facts.get("phase") == RETIRE:
            return False
        gateway = self.to.gateway.name if self.to.gateway else ""
        moves_gateway = any(one.step.kind == RELEASE and one.step.name == gateway for one in plan.steps)
        return _in_place(plan) or restarts(plan) or moves_gateway


def plan_upgrade(
    to: ControlPlane,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    order: tuple[str, ...] = (),
    at_once: int = 1,
    gate: TrafficGateOptions | None = None,
    retire: bool = False,
) -> UpgradePlan:
    """Plan the upgrade of a mesh to the control plane ``to``, or the rest of an interrupted one.

    Changes nothing. With a ``revision``, the new control plane is installed beside the old one (Istio only),
    otherwise in place. Namespaces move one at a time, those in ``order`` first, then the smallest first;
    ``at_once`` workloads restart together. With ``retire``, the old control plane is removed at the end.
    Raises ``BadInput`` for an upgrade that the mesh does not support, and what ``mk.plan`` raises.
    """
    mesh = mesh_of(cluster, mesh)
    target = Target(cluster, to, mesh, order, at_once)
    first = target.next_change()
    if first.empty and retire:
        first = replace(target.retirement(), lock="")
        retire = False
    return UpgradePlan(
        to=to,
        mesh=mesh,
        cluster=cluster.ref,
        first=first,
        moves=tuple(_moves(target, first)),
        retire=retire,
        order=order,
        at_once=at_once,
        gate=gate or TrafficGateOptions(),
    )


def plan_retirement(to: ControlPlane, cluster: Cluster, *, mesh: str | None = None) -> Plan:
    """Plan the removal of the old control plane after an upgrade to ``to``; changes nothing.

    The plan is empty if there is no old one. Raises ``ManualActionRequired`` while it is still in use, and
    ``BadInput`` if no control plane would be the default afterwards.
    """
    return Target(cluster, to, mesh_of(cluster, mesh)).retirement()


def upgrade_status(
    to: ControlPlane, cluster: Cluster, *, mesh: str | None = None, order: tuple[str, ...] = ()
) -> UpgradeStatus:
    """Read the status of a mesh's upgrade to the control plane ``to``; changes nothing."""
    mesh = mesh_of(cluster, mesh)
    target = Target(cluster, to, mesh, order)
    state = target.read()
    spaces = tuple(target.ordered(state))
    return UpgradeStatus(
        cluster=cluster.ref,
        mesh=mesh,
        version=state.version,
        revision=state.revision,
        installed=state.installed,
        spaces=spaces,
        next=next_of(state, spaces),
        old_node_proxies=old_node_proxies(state),
    )


def _moves(target: Target, first: Plan) -> Iterator[Move]:
    """Yield the namespaces that move after the first change."""
    state = target.read()
    for space in target.ordered(state):
        if not space.settled and space.name != first.facts.get("namespace"):
            workloads, _ = state.rolling(space.name)
            names = [title(one) for one in workloads]
            size = target.at_once
            waves = tuple(tuple(names[at : at + size]) for at in range(0, len(names), size))
            yield Move(space.name, waves)


def _require_all(target: Target, retirement: Plan) -> None:
    """Raise ``ManualActionRequired`` for what has not moved."""
    state = target.read()
    spaces = target.ordered(state)
    by_hand = [*(what for space in spaces for what in space.by_hand), *old_node_proxies(state)]
    stuck = [
        f"namespace {space.name}, whose new pods still get the old proxy"
        for space in spaces
        if not space.settled
    ]
    stuck += [] if retirement.empty else [retirement.what]
    if by_hand or stuck:
        raise ManualActionRequired(
            f"Some proxies must be upgraded by hand: {', '.join([*by_hand, *stuck][:5])}.",
            remedy="Upgrade these (see 'meshkit upgrade status'), then retire the old control plane.",
        )


def _all_back(worse: MeshkitError, cluster: Cluster, progress: OnEvent) -> MeshkitError:
    """Roll back the whole upgrade, and return the error to raise."""
    changes = back_changes(cluster)
    try:
        back_under_lock(changes, cluster, progress)
    except MeshkitError as second:
        return ManualActionRequired(
            f"{worse.message} The upgrade could not be rolled back: {second.message}",
            remedy="Resolve this by hand, then run 'meshkit upgrade back'.",
        )
    text = f"{worse.message} The whole upgrade was rolled back."
    return ChangeFailed(text, remedy=worse.remedy, change_id=changes[0].id, undone=True)


def _key(plan: Plan) -> tuple[str, str]:
    """Identify a change of an upgrade; a repeated key means that the change had no effect."""
    return str(plan.facts.get("phase", "")), str(plan.facts.get("namespace", ""))


def _in_place(plan: Plan) -> bool:
    return bool(plan.facts.get("in_place"))


def _replaces(plan: Plan, state: UpgradeState) -> bool:
    """Whether a plan replaces a control plane that proxies use."""
    here = state.parts.get(state.revision, ())
    names = {one["metadata"]["name"] for one in here} | {release_of(one) for one in here}
    return any(
        one.action == "change" and (one.step.name in names or (one.step.namespace, one.step.name) in names)
        for one in plan.steps
    )
