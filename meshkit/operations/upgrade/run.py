"""``mk.plan_upgrade``: a mesh brought to a new version: control plane, namespaces, the old one away.

An upgrade is several changes, each journaled and undone like any other; see state.py for what they are. The
plan holds the first one, checked on the server, and what follows; each later change is planned from what the
cluster holds then. The calls of the whole mesh are judged after each wave of restarts, and a wave that makes
them worse takes its namespace back. ``upgrade_back`` takes all of it back.
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
from meshkit.operations.upgrade.report import UpgradeStatus, next_of
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

_MAKER = "Whoever made it must take it away."


@dataclass(frozen=True)
class Target:
    """What a mesh is upgraded to: with a ``revision`` beside the old control plane (Istio only), without one
    in its place. Plans are made from what the cluster holds now.
    """

    cluster: Cluster
    to: ControlPlane
    mesh: str
    order: tuple[str, ...] = ()
    at_once: int = 1

    def __post_init__(self) -> None:
        registry.mesh(self.mesh)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Take 1.")

    def read(self, *more: Any) -> UpgradeState:
        """Where the upgrade stands."""
        empty = UpgradeState(Snapshot(), self.mesh, self.to)
        seen = snapshot.read(self.cluster, (*upgrade.needs(empty.home), *more))
        return UpgradeState(seen, self.mesh, self.to)

    def ordered(self, state: UpgradeState) -> list[NamespaceProgress]:
        """The namespaces in the order in which they move: the smallest first, unless some go before."""
        places = {name: place for place, name in enumerate(self.order)}
        return sorted(state.spaces, key=lambda one: places.get(one.name, len(places)))

    def next_change(self, *, without: Collection[str] = ()) -> Plan:
        """The next change; empty when only the old control plane is left to be retired.

        ``without`` names namespaces to be passed over. Raises ``BadInput`` for an upgrade that the mesh does
        not take, and what ``mk.plan`` raises.
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
        return self._planned(self._settled(state), WHOLE_MESH, "Upgrade: what stands for the whole mesh")

    def retirement(self) -> Plan:
        """What takes the old control plane away; the new one takes its place as the default before."""
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
        """The control plane alone: what makes it everybody's comes after the namespaces have moved."""
        return self.to.model_copy(update={"tags": (), "gateway": None}) if self.to.revision else self.to

    def _settled(self, state: UpgradeState) -> ControlPlane:
        """All that was asked for. The default is handed over when the one that has it goes."""
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
    """A namespace that an upgrade will move, as it stands now: its workloads, by waves of restarts."""

    namespace: str
    waves: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return (
            f"namespace {self.namespace}: {'; '.join(', '.join(wave) for wave in self.waves) or 'its mark'}"
        )


@dataclass(frozen=True)
class UpgradePlan:
    """An upgrade as ``mk.apply`` runs it: the next change, and what follows. Made by ``mk.plan_upgrade``."""

    to: ControlPlane
    mesh: str
    cluster: ClusterRef
    first: Plan
    """The next change, checked on the server; empty where nothing is left to do but the retirement."""
    moves: tuple[Move, ...]
    """The namespaces that move after it, in this order; each is planned again when its turn comes."""
    retire: bool = False
    """Whether the old control plane is taken away at the end."""
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
        """Bring everything to the new version, from the plan's first change on. ``mk.apply`` calls this.

        Raises what ``plan_upgrade`` raises; ``ChangeFailed`` where a wave made calls worse: its namespace was
        taken back or, where the mark by which it moved is older than this change or there is none, the whole
        upgrade; ``ManualActionRequired`` before anything moves where no call is seen (see
        ``TrafficGateOptions``), and at the end for what only a person can bring to the new version.
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
        """What the journal says to people of each change."""
        return f"upgrade to {describe(self.first.record)}"

    def later(self) -> Iterator[str]:
        """What follows the first change, a line each."""
        yield from map(str, self.moves)
        if self.retire:
            yield "the old control plane is retired"

    def _carried_out(self, plan: Plan, cluster: Cluster, progress: OnEvent, why: str) -> Change:
        if not self._touches_calls(plan):
            return apply_steps(plan, cluster, progress=progress, why=why)
        # Pods that are made anew come out as before only where this very change decides what they get.
        alone = any(one.step.manager != RESTART_MANAGER for one in plan.steps) and not _in_place(plan)
        try:
            return apply_gated(plan, cluster, self.gate, progress=progress, why=why, undo_alone=alone)
        except GateHalted as worse:
            progress(UndoStarted("the whole upgrade", worse.message))
            raise _all_back(worse, cluster, progress) from worse

    def _touches_calls(self, plan: Plan) -> bool:
        """Whether calls may change: pods are made anew, a gateway moves, or the control plane is replaced
        under its proxies.
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
    """What brings a mesh to the control plane ``to``, from wherever an upgrade stands. Changes nothing.

    With a ``revision`` it is installed beside the old one (Istio only), without one in its place. Namespaces
    move one at a time, the smallest first unless ``order`` names some to go before; ``at_once`` workloads
    restart together. With ``retire`` the old control plane goes at the end. Raises ``BadInput`` for an
    upgrade that the mesh does not take, and what ``mk.plan`` raises.
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
    """What takes the old control plane away after an upgrade to ``to``. Changes nothing.

    Empty where there is no old one. Raises ``ManualActionRequired`` while it is still needed, and
    ``BadInput`` where nobody would be the default after it.
    """
    return Target(cluster, to, mesh_of(cluster, mesh)).retirement()


def upgrade_status(
    to: ControlPlane, cluster: Cluster, *, mesh: str | None = None, order: tuple[str, ...] = ()
) -> UpgradeStatus:
    """Where the upgrade of a mesh to the control plane ``to`` stands. Changes nothing."""
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
    )


def _moves(target: Target, first: Plan) -> Iterator[Move]:
    """The namespaces that are to move after the first change."""
    state = target.read()
    for space in target.ordered(state):
        if not space.settled and space.name != first.facts.get("namespace"):
            workloads, _ = state.rolling(space.name)
            names = [title(one) for one in workloads]
            size = target.at_once
            waves = tuple(tuple(names[at : at + size]) for at in range(0, len(names), size))
            yield Move(space.name, waves)


def _require_all(target: Target, left: Plan) -> None:
    """Raise ``ManualActionRequired`` for what has not moved."""
    spaces = target.ordered(target.read())
    by_hand = [what for one in spaces for what in one.by_hand]
    stuck = [f"namespace {one.name}, whose new pods are not new" for one in spaces if not one.settled]
    stuck += [] if left.empty else [left.what]
    if by_hand or stuck:
        raise ManualActionRequired(
            f"All that meshkit can move has moved. Left: {', '.join([*by_hand, *stuck][:5])}.",
            remedy="Bring these to the new version ('meshkit upgrade status'), then retire the old one.",
        )


def _all_back(worse: MeshkitError, cluster: Cluster, progress: OnEvent) -> MeshkitError:
    """Take the whole upgrade back, and the error that says how that went."""
    changes = back_changes(cluster)
    try:
        back_under_lock(changes, cluster, progress)
    except MeshkitError as second:
        return ManualActionRequired(
            f"{worse.message} The upgrade could not be taken back: {second.message}",
            remedy="Settle this by hand, then run 'meshkit upgrade back'.",
        )
    text = f"{worse.message} The whole upgrade was taken back."
    return ChangeFailed(text, remedy=worse.remedy, change_id=changes[0].id, undone=True)


def _key(plan: Plan) -> tuple[str, str]:
    """Which change of an upgrade a plan is: one that comes up again has not done what it should."""
    return str(plan.facts.get("phase", "")), str(plan.facts.get("namespace", ""))


def _in_place(plan: Plan) -> bool:
    return bool(plan.facts.get("in_place"))


def _replaces(plan: Plan, state: UpgradeState) -> bool:
    """Whether a plan of the control plane changes one that proxies obey."""
    here = state.parts.get(state.revision, ())
    names = {one["metadata"]["name"] for one in here} | {release_of(one) for one in here}
    return any(
        one.action == "change" and (one.step.name in names or (one.step.namespace, one.step.name) in names)
        for one in plan.steps
    )
