"""The guided setup as data: its stages from an empty cluster to a meshed namespace, for any mesh.

A stage has a purpose, prerequisites, a proposal and a status. The wizard, a runbook and the command line all
use the methods of ``Setup``: look, plan, apply, undo. The status is read from the cluster only, so that a
reopened notebook, a second person and a CI job see the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary, Operation
from meshkit.errors import BadInput, Forbidden, ManualActionRequired, NoData, UnsupportedByMesh
from meshkit.facts import ClusterRef, Finding, Kind, Need, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import MutualTLS
from meshkit.kube.kinds import MUTATING_WEBHOOK, WORKLOADS
from meshkit.meshes import registry
from meshkit.meshes.injection import webhooks
from meshkit.observe.callers import Reading, between, read_callers
from meshkit.operations.access.enforcement import AccessWatch, enforce_access, enforces, risks
from meshkit.operations.change import apply_steps, history, plan, undo_steps, without_operation
from meshkit.operations.health import Findings, check
from meshkit.operations.plan import Change, Plan
from meshkit.operations.progress import OnEvent, in_notebook
from meshkit.operations.setup import status as stage_status
from meshkit.operations.setup.enforcement import WATCH_S, Watching, enforce
from meshkit.operations.setup.proposals import samples
from meshkit.operations.setup.stages import STAGES, Stage, all_before, blocks_later, stage, stage_statuses
from meshkit.operations.setup.status import ClusterObservation, StageStatus
from meshkit.operations.which_mesh import mesh_of

CHECKED_S = 20.0
"""The interval in seconds between checks of the whole cluster, while ``look`` is called repeatedly."""


@dataclass(frozen=True)
class SetupSnapshot:
    """The status of all stages at one time.

    Pass it to the next ``look``, so that the calls between the two are counted.
    """

    taken_s: float
    observation: ClusterObservation
    statuses: tuple[StageStatus, ...]
    reading: Reading | None = None
    checked_s: float = 0.0
    """The time of the last check of the whole cluster."""
    cluster: ClusterRef | None = None

    def of(self, name: str) -> StageStatus:
        """The status of one stage."""
        return self.statuses[STAGES.index(stage(name))]

    @property
    def next(self) -> Stage | None:
        """The first stage that is not done; None when all are."""
        open_stages = (
            stage for stage, status in zip(STAGES, self.statuses, strict=True) if status.state != "done"
        )
        return next(open_stages, None)

    def require(self, name: str, *, strict: bool = False) -> None:
        """Raise ``Unhealthy`` if a stage has errors, or with ``strict`` ``WarningsFound`` for warnings."""
        findings = [finding for finding in self.of(name).findings if finding.severity != "info"]
        Findings(sorted(findings, key=lambda finding: finding.severity)).require(strict=strict)

    def __str__(self) -> str:
        lines = [f"{self.observation.mesh} on cluster {self.cluster}"] if self.cluster else []
        for number, (one, status) in enumerate(zip(STAGES, self.statuses, strict=True), start=1):
            lines.append(f"{number}. {one.title:18} {status.state:9}  {status.summary}")
            lines += (f"   {f.severity} {f.code} {f.object} {f.message} {f.remedy}" for f in status.findings)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, init=False)
class Setup:
    """The guided setup of one namespace on one cluster with one mesh."""

    cluster: Cluster
    mesh: str
    namespace: str

    def __init__(self, cluster: Cluster, mesh: str | None = None, namespace: str = "shop") -> None:
        """Without ``mesh`` it is the one of the cluster; ``BadInput`` where that has none, or several."""
        values = {"cluster": cluster, "mesh": mesh_of(cluster, mesh, (namespace,)), "namespace": namespace}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def look(self, before: SetupSnapshot | None = None) -> SetupSnapshot:
        """Read the status of every stage; the account must be able to read the whole cluster.

        With an earlier snapshot ``before`` (at most about a minute old), calls are counted.
        """
        row = registry.mesh(self.mesh)
        rules = (row.shadow.kind, row.shadow.holders) if row.shadow else ()
        kinds = dict.fromkeys((*_KINDS, *row.kinds.all, *rules))
        try:
            seen = snapshot.read(self.cluster, [Need(kind) for kind in kinds])
        except Forbidden as error:
            check = f"'meshkit check -n {self.namespace}'"
            remedy = f"The guided setup reads the whole cluster. {check} checks what one namespace proves."
            raise Forbidden(error.message, remedy=remedy) from error
        reading = self._reading(seen)
        calls = None
        if reading and before and before.reading:
            calls = between(before.reading, reading)
        found, checked_s = self._checked(seen, before)
        observed = ClusterObservation(self.mesh, self.namespace, seen, calls, found)
        return SetupSnapshot(
            time.time(), observed, stage_statuses(observed), reading, checked_s, self.cluster.ref
        )

    def watch(self, window_s: float = 10.0) -> SetupSnapshot:
        """Take two snapshots ``window_s`` seconds apart, so that the calls between them are counted."""
        first = self.look()
        if first.reading is None:
            return first
        time.sleep(window_s)
        return self.look(first)

    def propose(self, name: str, look: SetupSnapshot) -> Intent | None:
        """Return the intent that a stage proposes for this cluster; None if a person must provide it."""
        return stage(name).propose(look.observation)

    def plan(self, name: str, *intents: Intent, look: SetupSnapshot | None = None) -> Plan:
        """Plan a stage, with its proposal or with the given intents; changes nothing.

        Raises ``BadInput`` for a stage that changes nothing, for an intent of another stage, or while a stage
        before it is not done.
        """
        look, wanted = look or self.look(), stage(name)
        if wanted.intent is None:
            raise BadInput(wanted.name, "this stage changes nothing.", remedy="There is nothing to apply.")
        for one in intents:
            if not isinstance(one, wanted.intent):
                problem = f"it takes a {wanted.intent.__name__}, not a {type(one).__name__}."
                raise BadInput(wanted.name, problem, remedy="Give the intent to its own stage.")
        if look.of(name).state == "blocked":
            raise _blocked(wanted, look)
        proposed = wanted.propose(look.observation)
        chosen = intents or ((proposed,) if proposed else ())
        if not chosen:
            raise BadInput(wanted.name, "this stage has no proposal.", remedy="Pass an intent.")
        made = plan(chosen, self.cluster, mesh=self.mesh)
        if enforces(made):
            made = replace(made, findings=(*made.findings, *risks(made, self.cluster, (self.namespace,))))
        return self._of_stage(wanted, made)

    def danger(self, name: str, intents: Sequence[Intent], look: SetupSnapshot) -> str:
        """Describe the risk of these intents, which a person must accept; empty if there is none."""
        strict = any(isinstance(one, MutualTLS) and one.mode == "strict" for one in intents)
        if strict and stage_status.tls_mode(look.observation) != "strict":
            worst = [one for one in stage_status.readiness(look.observation) if one.severity != "info"]
            if worst:
                seen = " ".join(f"{one.object} {one.message}" for one in worst)
                return " ".join(("Calls may be refused:", seen, *dict.fromkeys(one.remedy for one in worst)))
        return ""

    def require_safe(self, name: str, intent: Intent, look: SetupSnapshot) -> None:
        """Raise ``ManualActionRequired``, before any change, if a person must accept a risk."""
        danger = self.danger(name, (intent,), look)
        if danger:
            remedy = "Add these callers to the mesh, or continue anyway with force=True (--force)."
            raise ManualActionRequired(f"{danger} Nothing was changed.", remedy=remedy)

    def apply(
        self,
        name: str,
        plan: Plan,
        *,
        progress: OnEvent | None = None,
        watch_s: float = WATCH_S,
        force: bool = False,
    ) -> Change:
        """Apply the plan of a stage.

        Mutual TLS and enforced access rules are watched for ``watch_s`` seconds and undone if calls are
        refused, unless ``force`` is set.
        """
        wanted = stage(name)
        own = self._of_stage(wanted, plan)
        report = progress or in_notebook()
        if enforces(own):
            watch = AccessWatch(self.namespace, watch_s, force=force)
            return enforce_access(own, self.cluster, watch, progress=report)
        if wanted.intent is MutualTLS:
            return enforce(own, self.cluster, Watching(self.namespace, watch_s, force), progress=report)
        return apply_steps(own, self.cluster, progress=report)

    def undoable(self, name: str) -> str:
        """Return the id of the newest change of a stage that is not undone; empty if there is none."""
        return self._newest(stage(name), history(self.cluster))

    def undo(self, name: str, *, progress: OnEvent | None = None) -> Change:
        """Undo the newest change of a stage.

        Raises ``BadInput`` naming the later stages that must be undone first.
        """
        changes = history(self.cluster)
        later = [
            later_stage.title
            for later_stage in STAGES
            if name in all_before(later_stage) and self._newest(later_stage, changes)
        ]
        if later:
            remedy = f"Undo {', '.join(reversed(later))} first."
            raise BadInput(stage(name).name, "later stages depend on it.", remedy=remedy)
        change = self._newest(stage(name), changes)
        if not change:
            problem = "the journal contains no change of this stage."
            raise BadInput(stage(name).name, problem, remedy=without_operation(changes))
        return undo_steps(change, self.cluster, progress=progress or in_notebook())

    def cannot(self, intent: Intent) -> dict[str, str]:
        """Return what this mesh does not support: field, or ``field: choice``, to the planner's reason."""
        reasons = {}
        for place, probe in samples(intent):
            try:
                registry.mesh(self.mesh).planner.plan(probe, Snapshot())
            except UnsupportedByMesh as error:
                reasons[place] = f"{error.problem} {error.remedy}"
            except BadInput:
                continue
        return reasons

    def _operation(self, wanted: Stage) -> Operation:
        """The operation of a stage in the journal; the control plane's has no namespace."""
        namespace = {} if wanted.intent is ControlPlane else {"namespace": self.namespace}
        return Operation("setup", self.mesh, wanted.name, namespace)

    def _of_stage(self, wanted: Stage, made: Plan) -> Plan:
        """Mark a plan as that of a stage, so that its change can be found again."""
        operation = self._operation(wanted)
        return replace(made, operation=operation.name, target=operation.target, facts=operation.facts)

    def _newest(self, wanted: Stage, changes: Sequence[ChangeSummary]) -> str:
        """The id of the newest change of a stage that is not undone; empty if there is none."""
        operation = self._operation(wanted)
        return next((one.id for one in changes if one.operation == operation and one.state == "done"), "")

    def _reading(self, seen: Snapshot) -> Reading | None:
        if not any(webhooks(seen, self.mesh)):
            return None
        try:
            return read_callers(self.cluster, self.mesh, self.namespace)
        except NoData:
            return None

    def _checked(self, seen: Snapshot, before: SetupSnapshot | None) -> tuple[tuple[Finding, ...], float]:
        """The findings of ``mk.check``: preflight before the mesh is installed, health afterwards.

        They are reused from a snapshot that is less than CHECKED_S seconds old.
        """
        installed = any(webhooks(seen, self.mesh))
        if (
            before
            and time.time() - before.checked_s < CHECKED_S
            and before.observation.installed == installed
        ):
            return before.observation.findings, before.checked_s
        return check(self.cluster, mesh=self.mesh, pre=not installed), time.time()


_CORE = ("Node", "Namespace", "Pod", "Service")
_KINDS = (*(Kind("v1", name) for name in _CORE), *WORKLOADS, MUTATING_WEBHOOK)
"""The kinds that a snapshot reads for every mesh, besides the mesh's own."""


def _blocked(wanted: Stage, look: SetupSnapshot) -> BadInput:
    """The error of a stage that must wait; it names the first stage to do, or its first problem."""
    first = next(one for one in STAGES if one.name in all_before(wanted) and blocks_later(look.of(one.name)))
    problem = f"the stage {first.name} comes first"
    errors = [one for one in look.of(first.name).findings if one.severity == "error"]
    if errors:
        worst = errors[0]
        return BadInput(wanted.name, f"{problem}: {worst.object} {worst.message}", remedy=worst.remedy)
    seen = look.observation
    remedy = f"Run 'meshkit setup apply {first.name} --mesh {seen.mesh} -n {seen.namespace}'."
    return BadInput(wanted.name, f"{problem}.", remedy=remedy)
