"""The guided path as data: its stages from an empty cluster to a namespace in the mesh, for any mesh.

A stage says why it is there, what comes before it, what it proposes, and how far the cluster is. Everything a
face needs (the wizard, a runbook, the command line) is a verb of ``Setup``: look, plan, apply, undo. None
keeps a state of its own, so a closed notebook, a second person and a CI job see the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary, Operation
from meshkit.errors import BadInput, ManualActionRequired, NoData, UnknownName, UnsupportedByMesh
from meshkit.facts import ClusterRef, Finding, Kind, Need, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import MUTATING_WEBHOOK, WORKLOADS
from meshkit.meshes import registry
from meshkit.meshes.injection import webhooks
from meshkit.observe.callers import Reading, between, read_callers
from meshkit.operations.change import apply_steps, history, plan, undo_steps, without_operation
from meshkit.operations.health import Findings, check
from meshkit.operations.plan import Change, Plan
from meshkit.operations.progress import OnEvent, noop
from meshkit.operations.setup import status as stands
from meshkit.operations.setup.enforcement import WATCH_S, Watching, enforce
from meshkit.operations.setup.proposals import propose_access, propose_route, samples
from meshkit.operations.setup.status import ClusterObservation, StageStatus
from meshkit.operations.which_mesh import mesh_of

CHECKED_S = 20.0
"""The checks of the whole cluster are made this often while somebody looks."""


@dataclass(frozen=True)
class Stage:
    """One stage: its key, its title, why it is there, and the stages that must be done before it."""

    name: str
    title: str
    why: str
    after: tuple[str, ...]
    stand: Callable[[ClusterObservation], StageStatus]
    propose: Callable[[ClusterObservation], Intent | None] = lambda _: None
    """What this stage would do by itself; None where a person must say it, or where nothing is changed."""
    intent: type[Intent] | None = None
    """What its form is made from; None for a stage that only looks."""
    watched: bool = False
    """Its change is watched while calls run, and taken back by itself when they are refused."""

    def __repr__(self) -> str:
        return f"Stage({self.name!r})"


STAGES: tuple[Stage, ...] = (
    Stage(
        "preflight",
        "Preflight",
        "Looks whether this cluster can carry the mesh: nodes in several zones, the rights that the next "
        "stages need, no second mesh in the way. Nothing is changed.",
        (),
        stands.preflight,
    ),
    Stage(
        "control-plane",
        "Control plane",
        "Installs the control plane: it hands certificates and routes to the sidecars and injects them into "
        "new pods. Its replicas stand in different zones, so that one zone can be lost. Running workloads "
        "are not touched.",
        ("preflight",),
        stands.control_plane,
        lambda observed: ControlPlane(),
        ControlPlane,
    ),
    Stage(
        "injection",
        "Sidecar injection",
        "From now on every new pod of {namespace} gets a sidecar, which encrypts, measures and routes its "
        "calls. Pods that run already are replaced in waves: a Deployment keeps its replicas while it "
        "restarts, and the next wave waits until the last is available.",
        ("control-plane",),
        stands.injection,
        lambda observed: Injection(namespace=observed.namespace),
        Injection,
    ),
    Stage(
        "mutual-tls",
        "Mutual TLS",
        "Servers in {namespace} prove who they are and ask callers for the same. Permissive still takes "
        "plain text and shows who sends it; strict refuses it. Strict mode is watched and taken back by "
        "itself when calls are refused.",
        ("injection",),
        stands.mutual_tls,
        lambda observed: MutualTLS(namespace=observed.namespace, mode=_next_mode(observed)),
        MutualTLS,
        watched=True,
    ),
    Stage(
        "access",
        "Access rules",
        "Says which accounts may call a service; every other caller is answered with 403. Proposed are the "
        "callers that the sidecars have seen: look whether one is missing that calls only at night.",
        ("mutual-tls",),
        stands.access,
        propose_access,
        Access,
    ),
    Stage(
        "routes",
        "Routes and limits",
        "Says how requests to a service are shared out among its versions, how often they are tried again, "
        "and when a pod that fails is left alone. A release by canary later moves the weights of this "
        "route.",
        ("injection",),
        stands.routes,
        propose_route,
        Route,
    ),
    Stage(
        "verify",
        "Verify",
        "Looks at all of it together, under the traffic that runs now: every pod with its sidecar, every "
        "call over mutual TLS, none refused, none lost. Nothing is changed.",
        ("mutual-tls",),
        stands.verified,
    ),
)


@dataclass(frozen=True)
class SetupSnapshot:
    """All stages at one time. Give it to the next ``look``, so that calls between the two are counted."""

    taken_s: float
    observation: ClusterObservation
    statuses: tuple[StageStatus, ...]
    reading: Reading | None = None
    checked_s: float = 0.0
    """When the cluster was checked whole."""
    cluster: ClusterRef | None = None

    def of(self, name: str) -> StageStatus:
        """How far one stage is."""
        return self.statuses[STAGES.index(stage(name))]

    @property
    def next(self) -> Stage | None:
        """The first stage that is not done; None when all are."""
        found = (one for one, stand in zip(STAGES, self.statuses, strict=True) if stand.state != "done")
        return next(found, None)

    def require(self, name: str, *, strict: bool = False) -> None:
        """Raise Unhealthy where a stage has errors, WarningsFound for warnings alone under ``strict``."""
        told = [one for one in self.of(name).findings if one.severity != "info"]
        Findings(sorted(told, key=lambda one: one.severity)).require(strict=strict)

    def __str__(self) -> str:
        lines = [f"{self.observation.mesh} on cluster {self.cluster}"] if self.cluster else []
        for number, (one, stand) in enumerate(zip(STAGES, self.statuses, strict=True), start=1):
            lines.append(f"{number}. {one.title:18} {stand.state:9}  {stand.summary}")
            lines += (f"   {f.severity} {f.code} {f.object} {f.message} {f.remedy}" for f in stand.findings)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, init=False)
class Setup:
    """The guided path on one cluster, with one mesh, for one namespace."""

    cluster: Cluster
    mesh: str
    namespace: str

    def __init__(self, cluster: Cluster, mesh: str | None = None, namespace: str = "shop") -> None:
        """Without ``mesh`` it is the one of the cluster; ``BadInput`` where that has none, or several."""
        values = {"cluster": cluster, "mesh": mesh_of(cluster, mesh), "namespace": namespace}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def look(self, before: SetupSnapshot | None = None) -> SetupSnapshot:
        """Where every stage stands. With the look ``before`` (of the last minute or so) calls are counted."""
        kinds = (*_KINDS, *registry.mesh(self.mesh).kinds.all)
        seen = snapshot.read(self.cluster, [Need(kind) for kind in kinds])
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
        """Two looks ``window_s`` seconds apart, so that the calls between them are known."""
        first = self.look()
        if first.reading is None:
            return first
        time.sleep(window_s)
        return self.look(first)

    def propose(self, name: str, look: SetupSnapshot) -> Intent | None:
        """What a stage would do here by itself; None where a person must say it."""
        return stage(name).propose(look.observation)

    def plan(self, name: str, *intents: Intent, look: SetupSnapshot | None = None) -> Plan:
        """The plan of a stage, for what it proposes or for what is given. Changes nothing.

        Raises BadInput for a stage that changes nothing, or while a stage before it is not done.
        """
        look, wanted = look or self.look(), stage(name)
        if wanted.intent is None:
            raise BadInput(wanted.name, "this stage only looks.", remedy="There is nothing to apply.")
        if look.of(name).state == "blocked":
            remedy = "Do that stage first."
            raise BadInput(wanted.name, f"{look.of(name).summary}.", remedy=remedy)
        proposed = wanted.propose(look.observation)
        chosen = intents or ((proposed,) if proposed else ())
        if not chosen:
            raise BadInput(wanted.name, "there is nothing it could propose.", remedy="Give it an intent.")
        return self._of_stage(wanted, plan(chosen, self.cluster, mesh=self.mesh))

    def danger(self, name: str, intents: Sequence[Intent], look: SetupSnapshot) -> str:
        """What may go wrong with this, as a sentence a person must accept by name; empty when nothing may."""
        strict = any(isinstance(one, MutualTLS) and one.mode == "strict" for one in intents)
        if strict and stands.tls_mode(look.observation) != "strict":
            worst = [one for one in stands.readiness(look.observation) if one.severity != "info"]
            if worst:
                return "Calls may be refused: " + " ".join(f"{one.object} {one.message}" for one in worst)
        return ""

    def require_safe(self, name: str, intent: Intent, look: SetupSnapshot) -> None:
        """Raise ManualActionRequired where a person must accept a danger before anything is changed."""
        danger = self.danger(name, (intent,), look)
        if danger:
            remedy = "Bring these callers in, or go on all the same: force=True."
            raise ManualActionRequired(f"{danger} Nothing was changed.", remedy=remedy)

    def apply(
        self,
        name: str,
        plan: Plan,
        *,
        progress: OnEvent = noop,
        watch_s: float = WATCH_S,
        force: bool = False,
    ) -> Change:
        """Carry out the plan of a stage. Mutual TLS is watched for ``watch_s`` seconds and taken back by
        itself when calls are refused, unless ``force``.
        """
        wanted = stage(name)
        own = self._of_stage(wanted, plan)
        if wanted.watched:
            return enforce(own, self.cluster, Watching(self.namespace, watch_s, force), progress=progress)
        return apply_steps(own, self.cluster, progress=progress)

    def undoable(self, name: str) -> str:
        """The newest change of a stage that is not undone yet; empty when there is none."""
        return self._newest(stage(name), history(self.cluster))

    def undo(self, name: str, *, progress: OnEvent = noop) -> Change:
        """Take the newest change of a stage back. Stages that stand on it come first: BadInput names them."""
        changes = history(self.cluster)
        later = [one.title for one in STAGES if name in _before(one) and self._newest(one, changes)]
        if later:
            remedy = f"Undo {', '.join(reversed(later))} first."
            raise BadInput(stage(name).name, "other stages stand on it.", remedy=remedy)
        change = self._newest(stage(name), changes)
        if not change:
            problem = "the journal holds no change of this stage."
            raise BadInput(stage(name).name, problem, remedy=without_operation(changes))
        return undo_steps(change, self.cluster, progress=progress)

    def cannot(self, intent: Intent) -> dict[str, str]:
        """What this mesh has no means for, by its planner: field, or ``field: choice``, to the reason."""
        found = {}
        for place, probe in samples(intent):
            try:
                registry.mesh(self.mesh).planner.plan(probe, Snapshot())
            except UnsupportedByMesh as error:
                found[place] = f"{error.problem} {error.remedy}"
            except BadInput:
                continue
        return found

    def _operation(self, wanted: Stage) -> Operation:
        """What the journal says of a stage's change; the control plane is no namespace's."""
        namespace = {} if wanted.intent is ControlPlane else {"namespace": self.namespace}
        return Operation("setup", self.mesh, wanted.name, namespace)

    def _of_stage(self, wanted: Stage, made: Plan) -> Plan:
        """The plan as that of a stage, by which its change is found again."""
        operation = self._operation(wanted)
        return replace(made, operation=operation.name, target=operation.target, facts=operation.facts)

    def _newest(self, wanted: Stage, changes: Sequence[ChangeSummary]) -> str:
        """The newest change of a stage that still stands; empty when there is none."""
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
        """What ``mk.check`` says: of installing the mesh before it is there, of its health afterwards.

        A look within CHECKED_S seconds of the last takes over what that one found.
        """
        installed = any(webhooks(seen, self.mesh))
        if (
            before
            and time.time() - before.checked_s < CHECKED_S
            and before.observation.installed == installed
        ):
            return before.observation.found, before.checked_s
        return check(self.cluster, mesh=self.mesh, pre=not installed), time.time()


_CORE = ("Node", "Namespace", "Pod", "Service")
_KINDS = (*(Kind("v1", name) for name in _CORE), *WORKLOADS, MUTATING_WEBHOOK)
"""What a look reads of every mesh's cluster, beside the mesh's own kinds."""


def stage(name: str) -> Stage:
    """The stage of that name. Raises UnknownName, which lists the known ones."""
    found = {one.name: one for one in STAGES}
    if name not in found:
        raise UnknownName("stage", name, found)
    return found[name]


def stage_statuses(observed: ClusterObservation) -> tuple[StageStatus, ...]:
    """Each stage's own word, and "blocked" for one whose ground is not laid yet."""
    found: dict[str, StageStatus] = {}
    for one in STAGES:
        missing = [_in_a_sentence(stage(name)) for name in one.after if _not_laid(found[name])]
        own = one.stand(observed)
        if missing and own.state != "done":
            own = StageStatus("blocked", f"after {' and '.join(missing)}")
        found[one.name] = own
    return tuple(found.values())


def _in_a_sentence(one: Stage) -> str:
    return one.title[0].lower() + one.title[1:]


def _not_laid(standing: StageStatus) -> bool:
    """Whether a stage keeps the next ones waiting. One that was begun and has a warning does not."""
    errors = any(finding.severity == "error" for finding in standing.findings)
    return standing.state in ("ready", "blocked") or (standing.state == "attention" and errors)


def _before(one: Stage) -> set[str]:
    """Every stage that must be done before this one."""
    direct = [stage(name) for name in one.after]
    return set(one.after).union(*(_before(each) for each in direct))


def _next_mode(observed: ClusterObservation) -> Any:
    """Strict once nobody was seen to speak plain text, else permissive."""
    ready = all(finding.severity == "info" for finding in stands.readiness(observed))
    return "strict" if ready or stands.tls_mode(observed) == "strict" else "permissive"
