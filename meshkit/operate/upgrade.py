"""``mk.Upgrade``: a mesh brought to a new version as a canary: control plane, namespaces, the old one away.

Each change is planned from what the cluster holds, journaled and undone like any other; see
planners/upgrade.py for what they are. The calls of the whole mesh are judged after each wave of restarts, and
a wave that makes them worse takes its namespace back. ``upgrade_back`` takes all of it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from meshkit import meshes
from meshkit.cluster import rights, snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.cluster.journal import ChangeSummary, Journal
from meshkit.cluster.lock import held
from meshkit.errors import BadInput, MeshkitError, NeedsPerson
from meshkit.facts import Finding, Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.operate.change import apply, history, plan_steps, silent, undo
from meshkit.operate.gate import Gate, Judging, Say, taken_back
from meshkit.operate.planned import Change, Plan
from meshkit.planners import kubernetes as k8s
from meshkit.planners import retirement, upgrade
from meshkit.planners.charts import RELEASE
from meshkit.planners.injected import made_by, runs_sidecar
from meshkit.planners.istio_revisions import DEFAULT
from meshkit.planners.steps import RESTART_MANAGER, title
from meshkit.planners.upgrade import Installed, Space, Standing

Report = Callable[[Progress], None]
_WHY = "upgrade to "
_BESIDE = ", revision "
_CONTROL_PLANE = "Upgrade: control plane"
LOCK = "upgrade"
"""The name of the Lease that whoever upgrades holds."""


@dataclass(frozen=True)
class UpgradeStatus:
    """The control planes that are there, the namespaces with their proxies, and what comes next."""

    mesh: str
    version: str
    revision: str
    installed: tuple[Installed, ...]
    spaces: tuple[Space, ...]
    next: str

    def __str__(self) -> str:
        lines = [f"{self.mesh} to {self.version}" + (f", revision {self.revision}" if self._named else "")]
        lines += (f"  {self._control_plane(one)}" for one in self.installed)
        lines += (f"  {_bar(one)}  {one.name}: {_counted(one)}" for one in self.spaces)
        lines += (f"  by hand: {what}" for one in self.spaces for what in one.by_hand)
        return "\n".join([*lines, self.next])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{escape(one.name)}</td><td style='width:14em'>{_html_bar(one)}"
            f"</td><td style='text-align:left'>{escape(_counted(one))}</td></tr>"
            for one in self.spaces
        )
        planes = "".join(f"<li>{escape(self._control_plane(one))}</li>" for one in self.installed)
        by_hand = "".join(f"<li>by hand: {escape(what)}</li>" for one in self.spaces for what in one.by_hand)
        return (
            f"<ul class='meshkit-upgrade'>{planes}</ul><table>{rows}</table>"
            f"{f'<ul>{by_hand}</ul>' if by_hand else ''}<p>{escape(self.next)}</p>"
        )

    @property
    def _named(self) -> bool:
        return self.revision != DEFAULT

    def _control_plane(self, one: Installed) -> str:
        name = "" if one.revision == DEFAULT and not self._named else f"{one.revision} "
        tags = f", tags {', '.join(one.tags)}" if one.tags else ""
        ready = f"{one.ready} of {one.replicas} replicas"
        return f"control plane {name}{one.version}: {ready}, {one.proxies} proxies{tags}"


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
        meshes.mesh(self.mesh)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Take 1.")

    def status(self) -> UpgradeStatus:
        """Where the upgrade stands. Changes nothing."""
        standing = self._read()
        return UpgradeStatus(
            mesh=self.mesh,
            version=standing.version,
            revision=standing.revision,
            installed=standing.installed,
            spaces=tuple(self._ordered(standing)),
            next=_next(standing),
        )

    def plan(self) -> Plan:
        """The next change; empty when only the old control plane is left to be retired. Changes nothing.

        Raises ``BadInput`` for an upgrade that the mesh does not take, and what ``mk.plan`` raises.
        """
        standing = self._read()
        upgrade.require_upgradable(standing)
        first = self._planned(self._beside(), f"{_CONTROL_PLANE} {standing.version}")
        if not first.empty:
            return first
        for space in self._ordered(standing):
            if not space.settled:
                steps = upgrade.move_steps(standing, space, self.at_once)
                return plan_steps(steps, self.cluster, what=_moving(space), mesh=self.mesh)
        return self._planned(self._settled(standing), "Upgrade: what stands for the whole mesh")

    def run(self, *, progress: Report | None = None, say: Say = silent) -> list[Change]:
        """Bring everything to the new version, from wherever the upgrade stands; the old control plane stays.

        Raises what ``plan`` raises, ``ChangeFailed`` where a wave made calls worse and its change was taken
        back, and ``NeedsPerson`` before anything moves where no call is seen (see ``Judging``) and at the end
        for proxies that only a person can make anew.
        """
        done: list[Change] = []
        made: set[str] = set()
        rights.require(self.cluster.api, rights.of_lock())
        with held(self.cluster, LOCK) as require_lock:
            while not (plan := self.plan()).empty:
                if plan.what in made:
                    raise NeedsPerson(
                        f"{plan.what} is done, and the cluster does not show it.",
                        remedy="'meshkit upgrade status' names what is behind; look at those pods' sidecars.",
                    )
                made.add(plan.what)
                say(f"{plan.what}.")
                done.append(self._carried_out(plan, guarded(require_lock, progress), say))
        by_hand = [what for one in self.status().spaces for what in one.by_hand]
        if by_hand:
            raise NeedsPerson(
                f"All that meshkit can move has moved. By hand: {', '.join(by_hand[:5])}.",
                remedy="Bring these to the new version, then retire the old control plane.",
            )
        return done

    def plan_retirement(self) -> Plan:
        """What takes the old control plane away, and gives its place as the default to the new one where the
        intent says so. Empty where there is no old one. Raises ``NeedsPerson`` while it is still needed.
        """
        needs = retirement.needs(self._home)
        standing = self._read(*needs)
        if not standing.old:
            return plan_steps([], self.cluster, what="Upgrade: retirement", mesh=self.mesh)
        retirement.require_unused(standing)
        retirement.require_ours(standing)
        planner = meshes.mesh(self.mesh).planner
        seen = snapshot.read(self.cluster, planner.needs(self.to))
        steps = [*planner.plan(self.to, seen), *retirement.retirement(standing)]
        findings = [
            Finding("MK0315", "warning", title(one), "carries the old revision's label and stays.", _MAKER)
            for one in retirement.left_over(standing)
        ]
        names = ", ".join(one.revision for one in standing.old)
        what = f"Upgrade: retire {names}"
        return plan_steps(steps, self.cluster, what=what, mesh=self.mesh, findings=findings)

    def retire(self, plan: Plan | None = None, *, progress: Report | None = None) -> Change:
        """Take the old control plane away, as ``plan_retirement`` shows it."""
        shown = plan or self.plan_retirement()
        rights.require(self.cluster.api, rights.of_lock())
        with held(self.cluster, LOCK) as require_lock:
            report = guarded(require_lock, progress)
            return apply(shown, self.cluster, progress=report, why=self.why)

    @property
    def why(self) -> str:
        """What the journal says of each change."""
        version = Standing(Snapshot(), self.mesh, self.to).version
        return f"{_WHY}{self.mesh} {version}" + (f"{_BESIDE}{self.to.revision}" if self.to.revision else "")

    @property
    def _home(self) -> str:
        return Standing(Snapshot(), self.mesh, self.to).home

    def _read(self, *more: Any) -> Standing:
        seen = snapshot.read(self.cluster, (*upgrade.needs(self._home), *more))
        return Standing(seen, self.mesh, self.to)

    def _beside(self) -> ControlPlane:
        """The control plane alone: what makes it everybody's comes after the namespaces have moved."""
        return self.to.model_copy(update={"tags": (), "gateway": None}) if self.to.revision else self.to

    def _settled(self, standing: Standing) -> ControlPlane:
        """All that was asked for. The default is handed over when the one that has it goes."""
        held = any(one.revision == DEFAULT for one in standing.old)
        kept = tuple(tag for tag in self.to.tags if not (held and tag == DEFAULT))
        return self.to.model_copy(update={"tags": kept})

    def _planned(self, intent: ControlPlane, what: str) -> Plan:
        planner = meshes.mesh(self.mesh).planner
        seen = snapshot.read(self.cluster, planner.needs(intent))
        return plan_steps(planner.plan(intent, seen), self.cluster, what=what, mesh=self.mesh)

    def _ordered(self, standing: Standing) -> list[Space]:
        places = {name: place for place, name in enumerate(self.order)}
        return sorted(standing.spaces, key=lambda one: places.get(one.name, len(places)))

    def _carried_out(self, plan: Plan, progress: Report | None, say: Say) -> Change:
        if not self._touches_calls(plan) or not self._read().proxies:
            return apply(plan, self.cluster, progress=progress, why=self.why)
        gate = Gate.of(self.cluster, self.mesh, self.judging, say=say)
        gate.measure()
        with gate:
            change = apply(plan, self.cluster, progress=progress, why=self.why, judge=gate.after_wave)
            try:
                if not _restarts(plan):
                    gate.judge(plan.what)
            except MeshkitError as trouble:
                say(f"{trouble.message} Taking it back.")
                raise taken_back(change, self.cluster, trouble) from trouble
        return change

    def _touches_calls(self, plan: Plan) -> bool:
        """Whether calls may change: pods are made anew, a gateway moves, or the control plane is replaced
        under its proxies.
        """
        gateway = self.to.gateway.name if self.to.gateway else ""
        moves_gateway = any(one.step.kind == RELEASE and one.step.name == gateway for one in plan.steps)
        return not self.to.revision or _restarts(plan) or moves_gateway


_MAKER = "Whoever made it must take it away."


def upgrade_back(cluster: Cluster, *, progress: Report | None = None, say: Say = silent) -> list[Change]:
    """Take the newest upgrade back: the old control plane first where it was retired or replaced in its
    place, then every namespace, the last one first, and at last the new control plane beside it.

    Run it again where it was interrupted. Raises ``BadInput`` where the journal holds no upgrade, and
    ``NeedsPerson`` for objects that others have changed since.
    """
    changes, journal = history(cluster), Journal(cluster)
    why = next((one.why for one in changes if one.why.startswith(_WHY) and _stands(one)), None)
    if why is None:
        raise BadInput(
            "upgrade", "the journal holds no upgrade that stands.", remedy="See 'meshkit history'."
        )
    done = []
    rights.require(cluster.api, rights.of_lock())
    with held(cluster, LOCK) as require_lock:
        for one in _order_back([one for one in changes if one.why == why and _stands(one)], why):
            if not journal.records(one.id)[1:]:
                continue
            if one.what.startswith(_CONTROL_PLANE):
                _require_nobody(cluster, why)
            say(f"Back: {one.what}.")
            done.append(undo(one.id, cluster, progress=guarded(require_lock, progress)))
    return done


def _require_nobody(cluster: Cluster, why: str) -> None:
    """The control plane beside the old one goes only once no proxy obeys it: pods may have come since."""
    _, beside, revision = why.partition(_BESIDE)
    pods = (pod for pod in cluster.api.list(k8s.POD) if k8s.is_live(pod) and runs_sidecar(pod, "istio"))
    obeying = [title(pod) for pod in pods if made_by(pod, "istio")[0] == revision] if beside else []
    if obeying:
        raise NeedsPerson(
            f"{len(obeying)} pods obey revision {revision} still: {', '.join(obeying[:5])}. It stays.",
            remedy="Restart their workloads, then take the upgrade back again.",
        )


def _order_back(changes: Sequence[ChangeSummary], why: str) -> list[ChangeSummary]:
    """Newest first. A control plane that was replaced in its place goes back before the proxies: those that
    are made anew while the new one is there would be new again.
    """
    if _BESIDE in why:
        return list(changes)
    return sorted(changes, key=lambda one: not one.what.startswith(_CONTROL_PLANE))


def _stands(change: ChangeSummary) -> bool:
    return change.state in ("done", "open")


def _restarts(plan: Plan) -> bool:
    return any(one.step.manager == RESTART_MANAGER for one in plan.steps)


def guarded(require_lock: Callable[[], None], progress: Report | None) -> Report:
    """A report that stops the change before a step once the lock was lost to somebody else."""

    def report(step: Progress) -> None:
        if step.state == "applying":
            require_lock()
        (progress or silent)(step)

    return report


def _moving(space: Space) -> str:
    return f"Upgrade: namespace {space.name}"


def _next(standing: Standing) -> str:
    here = next((one for one in standing.installed if one.revision == standing.revision), None)
    if here is None or here.version != standing.version or here.ready < here.replicas:
        return f"Next: control plane {standing.version}."
    waiting = [one.name for one in standing.spaces if not one.settled]
    if waiting:
        return f"Next: namespace {waiting[0]}, {len(waiting)} to go."
    if any(one.by_hand for one in standing.spaces):
        return "Next: what is left by hand."
    if standing.old:
        return f"Next: retire {', '.join(one.revision for one in standing.old)}."
    return "Nothing is left to do."


def _counted(one: Space) -> str:
    return f"{one.moved} of {one.moved + one.behind} proxies moved"


def _bar(one: Space) -> str:
    whole = one.moved + one.behind
    full = round(10 * one.moved / whole) if whole else 10 * one.settled
    return "█" * full + "░" * (10 - full)


def _html_bar(one: Space) -> str:
    whole = one.moved + one.behind
    percent = 100 * one.moved / whole if whole else 100.0 * one.settled
    inner = f"<div style='width:{percent:.0f}%;height:0.7em;background:#1f77b4'></div>"
    return f"<div style='background:#8883;width:100%'>{inner}</div>"
