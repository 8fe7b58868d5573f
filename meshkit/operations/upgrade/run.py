"""``mk.Upgrade``: a mesh brought to a new version as a canary: control plane, namespaces, the old one away.

Each change is planned from what the cluster holds, journaled and undone like any other; see
upgrade/state.py for what they are. The calls of the whole mesh are judged after each wave of restarts, and
a wave that makes them worse takes its namespace back. ``upgrade_back`` takes all of it back.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import Any

from meshkit import codes
from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, ChangeFailed, Halted, MeshkitError, NeedsPerson
from meshkit.facts import Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.kube.helm import RELEASE, release_of
from meshkit.kube.metadata import title
from meshkit.kube.steps import RESTART_MANAGER
from meshkit.meshes import registry
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.operations.change import Report, apply, plan_steps, silent
from meshkit.operations.plan import Change, Plan
from meshkit.operations.traffic_gate import Judging, Say, judged, restarts
from meshkit.operations.upgrade import retirement
from meshkit.operations.upgrade import state as upgrade
from meshkit.operations.upgrade.report import UpgradeStatus, next_of
from meshkit.operations.upgrade.rollback import (
    BESIDE,
    CONTROL_PLANE,
    IN_PLACE,
    NAMESPACE,
    RETIRE,
    WHY,
    back_changes,
    back_under_lock,
    only_one,
)
from meshkit.operations.upgrade.state import NamespaceProgress, UpgradeState


@dataclass(frozen=True)
class Upgrade:
    """An upgrade of the mesh of one cluster to the control plane ``to``.

    With a ``revision`` it is installed beside the old one (Istio only), without one in its place. Namespaces
    move one at a time, the smallest first unless ``order`` names some to go before; ``at_once`` workloads
    restart together.
    """

    cluster: Cluster
    to: ControlPlane
    mesh: str
    order: tuple[str, ...] = ()
    at_once: int = 1
    judging: Judging = field(default_factory=Judging)

    def __post_init__(self) -> None:
        registry.mesh(self.mesh)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Take 1.")

    def status(self) -> UpgradeStatus:
        """Where the upgrade stands. Changes nothing."""
        standing = self._read()
        return UpgradeStatus(
            cluster=self.cluster.ref,
            mesh=self.mesh,
            version=standing.version,
            revision=standing.revision,
            installed=standing.installed,
            spaces=(spaces := tuple(self._ordered(standing))),
            next=next_of(standing, spaces),
        )

    def plan(self, *, without: Container[str] = ()) -> Plan:
        """The next change; empty when only the old control plane is left to be retired. Changes nothing.

        ``without`` names namespaces to be passed over. Raises ``BadInput`` for an upgrade that the mesh does
        not take, and what ``mk.plan`` raises.
        """
        standing = self._read()
        upgrade.require_upgradable(standing)
        first = self._planned(self._alone(), f"{CONTROL_PLANE} {standing.version}")
        if not first.empty:
            return replace(first, what=first.what + (IN_PLACE if _replaces(first, standing) else ""))
        for space in self._ordered(standing):
            if not space.settled and space.name not in without:
                steps = upgrade.move_steps(standing, space, self.at_once)
                return plan_steps(steps, self.cluster, what=f"{NAMESPACE} {space.name}", mesh=self.mesh)
        return self._planned(self._settled(standing), "Upgrade: what stands for the whole mesh")

    def run(self, *, progress: Report | None = None, say: Say = silent) -> list[Change]:
        """Bring everything to the new version, from wherever the upgrade stands; the old control plane stays.

        Raises what ``plan`` raises; ``ChangeFailed`` where a wave made calls worse: its namespace was taken
        back or, where the mark by which it moved is older than this change or there is none, the whole
        upgrade; ``NeedsPerson`` before anything moves where no call is seen (see ``Judging``), and at the end
        for what only a person can bring to the new version.
        """
        done: list[Change] = []
        made: set[str] = set()
        with only_one(self.cluster, progress) as report:
            while True:
                plan = self.plan(without={what.removeprefix(f"{NAMESPACE} ") for what in made})
                if plan.empty or plan.what in made:
                    break
                made.add(plan.what)
                say(f"{plan.what}.")
                done.append(self._carried_out(plan, report, say))
        self._require_all(plan)
        return done

    def _require_all(self, left: Plan) -> None:
        """Raise ``NeedsPerson`` for what has not moved."""
        spaces = self.status().spaces
        by_hand = [what for one in spaces for what in one.by_hand]
        stuck = [f"namespace {one.name}, whose new pods are not new" for one in spaces if not one.settled]
        stuck += [] if left.empty else [left.what]
        if by_hand or stuck:
            raise NeedsPerson(
                f"All that meshkit can move has moved. Left: {', '.join([*by_hand, *stuck][:5])}.",
                remedy="Bring these to the new version ('meshkit upgrade status'), then retire the old one.",
            )

    def plan_retirement(self) -> Plan:
        """What takes the old control plane away; the new one takes its place as the default before.

        Empty where there is no old one. Raises ``NeedsPerson`` while it is still needed, and ``BadInput``
        where nobody would be the default after it.
        """
        needs = retirement.needs(self.mesh, self._home)
        standing = self._read(*needs)
        if not standing.old:
            return plan_steps([], self.cluster, what="Upgrade: retirement", mesh=self.mesh)
        retirement.require_unused(standing)
        retirement.require_ours(standing)
        retirement.require_handed_over(standing)
        planner = registry.mesh(self.mesh).planner
        seen = snapshot.read(self.cluster, planner.needs(self.to))
        steps = [*planner.plan(self.to, seen), *retirement.retirement(standing)]
        findings = [
            codes.finding(
                codes.OLD_REVISION_STAYS, title(one), "it carries the old revision's label and stays."
            )
            for one in retirement.left_over(standing)
        ]
        names = ", ".join(one.revision for one in standing.old)
        what = f"{RETIRE} {names}"
        return plan_steps(steps, self.cluster, what=what, mesh=self.mesh, findings=findings)

    def retire(self, plan: Plan | None = None, *, progress: Report | None = None) -> Change:
        """Take the old control plane away, as ``plan_retirement`` shows it. Raises what that and ``mk.apply``
        raise, and ``Conflict`` while somebody else upgrades.
        """
        shown = plan or self.plan_retirement()
        with only_one(self.cluster, progress) as report:
            return apply(shown, self.cluster, progress=report, why=self.why)

    @property
    def why(self) -> str:
        """What the journal says of each change."""
        version = UpgradeState(Snapshot(), self.mesh, self.to).version
        return f"{WHY}{self.mesh} {version}" + (f"{BESIDE}{self.to.revision}" if self.to.revision else "")

    @property
    def _home(self) -> str:
        return UpgradeState(Snapshot(), self.mesh, self.to).home

    def _read(self, *more: Any) -> UpgradeState:
        seen = snapshot.read(self.cluster, (*upgrade.needs(self._home), *more))
        return UpgradeState(seen, self.mesh, self.to)

    def _alone(self) -> ControlPlane:
        """The control plane alone: what makes it everybody's comes after the namespaces have moved."""
        return self.to.model_copy(update={"tags": (), "gateway": None}) if self.to.revision else self.to

    def _settled(self, standing: UpgradeState) -> ControlPlane:
        """All that was asked for. The default is handed over when the one that has it goes."""
        held = any(one.revision == DEFAULT_REVISION for one in standing.old)
        kept = tuple(tag for tag in self.to.tags if not (held and tag == DEFAULT_REVISION))
        return self.to.model_copy(update={"tags": kept})

    def _planned(self, intent: ControlPlane, what: str) -> Plan:
        planner = registry.mesh(self.mesh).planner
        seen = snapshot.read(self.cluster, planner.needs(intent))
        return plan_steps(planner.plan(intent, seen), self.cluster, what=what, mesh=self.mesh)

    def _ordered(self, standing: UpgradeState) -> list[NamespaceProgress]:
        places = {name: place for place, name in enumerate(self.order)}
        return sorted(standing.spaces, key=lambda one: places.get(one.name, len(places)))

    def _carried_out(self, plan: Plan, progress: Report, say: Say) -> Change:
        if not self._touches_calls(plan):
            return apply(plan, self.cluster, progress=progress, why=self.why)
        # Pods that are made anew come out as before only where this very change decides what they get.
        alone = any(one.step.manager != RESTART_MANAGER for one in plan.steps) and not self._in_place(plan)
        try:
            return judged(
                plan, self.cluster, self.judging, progress=progress, say=say, why=self.why, back=alone
            )
        except Halted as worse:
            if not isinstance(worse.__cause__, ChangeFailed):
                raise
            say(f"{worse.message} Taking the whole upgrade back.")
            raise self._all_back(worse, progress, say) from worse

    def _all_back(self, worse: MeshkitError, progress: Report, say: Say) -> MeshkitError:
        try:
            back_under_lock(self.cluster, back_changes(self.cluster), progress, say)
        except MeshkitError as second:
            return NeedsPerson(
                f"{worse.message} The upgrade could not be taken back: {second.message}",
                remedy="Settle this by hand, then run 'meshkit upgrade back'.",
            )
        text = f"{worse.message} The whole upgrade was taken back."
        return ChangeFailed(text, remedy=worse.remedy, change_id="", undone=True)

    def _in_place(self, plan: Plan) -> bool:
        return plan.what.endswith(IN_PLACE)

    def _touches_calls(self, plan: Plan) -> bool:
        """Whether calls may change: pods are made anew, a gateway moves, or the control plane is replaced
        under its proxies.
        """
        gateway = self.to.gateway.name if self.to.gateway else ""
        moves_gateway = any(one.step.kind == RELEASE and one.step.name == gateway for one in plan.steps)
        return self._in_place(plan) or restarts(plan) or moves_gateway


def _replaces(plan: Plan, standing: UpgradeState) -> bool:
    """Whether a plan of the control plane changes one that proxies obey."""
    here = standing.parts.get(standing.revision, ())
    names = {one["metadata"]["name"] for one in here} | {release_of(one) for one in here}
    return any(
        one.action == "change" and (one.step.name in names or (one.step.namespace, one.step.name) in names)
        for one in plan.steps
    )
