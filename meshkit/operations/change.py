"""The verbs that change a cluster: plan, apply, undo, history.

A plan shows what the server would do; apply does exactly that, with the prior state in the cluster's journal
before each step; undo reads the journal, so anyone with the rights can undo what someone else applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from meshkit import codes
from meshkit.checks.planned import preflight, schema
from meshkit.cluster import executor, rights, snapshot
from meshkit.cluster import undo as undoing
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import PlannedStep, Progress
from meshkit.cluster.journal import ChangeSummary, Journal
from meshkit.errors import BadInput, ChangeFailed, Conflict, Halted, MeshkitError, NeedsPerson
from meshkit.facts import Finding
from meshkit.intent.base import Intent
from meshkit.kube.steps import Step, ordered
from meshkit.meshes import registry
from meshkit.operations.plan import Change, Plan
from meshkit.operations.release.undo import is_release, undo_release
from meshkit.operations.release.weights import MANAGER

__all__ = ["Change", "Plan", "Progress", "apply", "history", "plan", "undo"]

Report = Callable[[Progress], None]


def plan(intents: Intent | Iterable[Intent], cluster: Cluster, *, mesh: str) -> Plan:
    """What it takes to make the intents true on this cluster with this mesh. Changes nothing.

    Every object is dry-run on the server; an object whose namespace or kind an earlier step makes is checked
    against its definition now and dry-run right before its own step. Raises ``BadInput`` for what the mesh or
    the cluster cannot take, ``Conflict`` naming whoever owns a field that would be changed, and the server's
    refusals.
    """
    wanted = (intents,) if isinstance(intents, Intent) else tuple(intents)
    planner = registry.mesh(mesh).planner
    seen = snapshot.read(cluster, [need for intent in wanted for need in planner.needs(intent)])
    findings = preflight.check(wanted, seen, mesh)
    for finding in findings:
        if finding.severity == "error":
            raise BadInput(finding.object, finding.message, remedy=f"{finding.remedy} See {finding.code}.")
    steps = ordered(step for intent in wanted for step in planner.plan(intent, seen))
    what = ", ".join(dict.fromkeys(type(intent).__name__ for intent in wanted)) or "Nothing"
    return plan_steps(steps, cluster, what=what, mesh=mesh, findings=findings)


def plan_steps(
    steps: Sequence[Step], cluster: Cluster, *, what: str, mesh: str, findings: Iterable[Finding] = ()
) -> Plan:
    """A plan of steps, checked as ``plan`` says. ``findings`` go before what the server itself says."""
    checked = _checked(cluster, steps)
    pending = tuple(one for one in checked if one.action != "keep")
    _require_fitting(pending)
    return Plan(
        what=what,
        mesh=mesh,
        context=cluster.context,
        server=cluster.server,
        steps=pending,
        unchanged=len(checked) - len(pending),
        findings=(*findings, *_warnings(pending)),
    )


def apply(
    plan: Plan,
    cluster: Cluster,
    *,
    progress: Report | None = None,
    why: str = "",
    judge: executor.Judge = lambda _: None,
) -> Change:
    """Carry out a plan: what was shown, or nothing.

    Rights are checked before the first change, those for what charts make too: ``Forbidden`` names all that
    are missing. ``judge`` is asked after each wave of steps, and stops the change by raising. An object that
    has changed since the plan stops it with ``Conflict``; so does any other failure. What was done by then is
    taken back, and ``ChangeFailed`` says so (``NeedsPerson`` if even that failed); but after ``Halted`` the
    change stays as it is.
    """
    if plan.server != cluster.server:
        problem = f"it was made for {plan.cluster}, not for {cluster}."
        raise BadInput("plan", problem, remedy="Plan again on this cluster.")
    if plan.empty:
        return Change("", plan.what, 0, cluster.ref)
    _require_rights(cluster, plan.steps)
    journal = Journal(cluster)
    change = journal.start(f"{plan.what} ({plan.mesh})", why)
    try:
        kept = executor.carry_out(cluster, plan.steps, journal, change, progress or silent, judge)
    except Halted:
        raise
    except MeshkitError as error:
        failure = _taken_back(cluster, journal, change, error)
        if failure is None:
            raise
        raise failure from error
    journal.append(change, {"event": "end", "state": "done"})
    return Change(change, plan.what, len(plan.steps), cluster.ref, tuple(kept))


def undo(
    change_id: str, cluster: Cluster, *, progress: Report | None = None, dry_run: bool = False
) -> Change:
    """Take a change back, whoever made it; with ``dry_run`` only see whether that can be done.

    Raises ``NeedsPerson`` when others have changed the objects since: then nothing is touched. Namespaces and
    CustomResourceDefinitions that hold objects of others stay, and ``Change.kept`` says so.
    """
    journal = Journal(cluster)
    records = journal.records(change_id)
    if any(record.get("state") == "undone" for record in records):
        raise BadInput("change", f"{change_id} is undone already.", remedy="Nothing is left to do.")
    what = f"Undo of {records[0]['what']}"
    if is_release(records):
        if dry_run:
            return Change(change_id, what, 1, cluster.ref, dry=True)
        return undo_release(change_id, cluster, journal, records)
    wanted = undoing.restorations(cluster.api, records)
    if not wanted:
        raise BadInput("change", f"{change_id} has changed no object.", remedy="Nothing is left to undo.")
    _require_undoable(cluster, wanted)
    if dry_run:
        return Change(change_id, what, len(wanted), cluster.ref, dry=True)
    kept = _undone([change_id], wanted, cluster, journal, progress)
    return Change(change_id, what, len(wanted), cluster.ref, kept)


def undo_together(
    ids: Sequence[str], cluster: Cluster, *, what: str, progress: Report | None = None
) -> Change:
    """Take several changes back as one, given newest first: what decides over pods before any restart.

    Raises what ``undo`` raises. Changes that have changed nothing are only marked.
    """
    journal = Journal(cluster)
    changes = [journal.records(id) for id in reversed(ids)]
    wanted = undoing.restorations(cluster.api, *changes)
    _require_undoable(cluster, wanted)
    kept = _undone(ids, wanted, cluster, journal, progress)
    return Change(ids[0], what, len(wanted), cluster.ref, kept)


def _require_undoable(cluster: Cluster, wanted: Sequence[undoing.Restoration]) -> None:
    rights.require(cluster.api, undoing.rights_for(cluster.api, wanted) | rights.of_journal(cluster.api))
    undoing.require_untouched(cluster, wanted)


def _undone(
    ids: Sequence[str],
    wanted: Sequence[undoing.Restoration],
    cluster: Cluster,
    journal: Journal,
    progress: Report | None,
) -> tuple[str, ...]:
    """Put the objects of these changes back and say so in the journal; what stays on purpose."""
    kept = undoing.restore(cluster, wanted, progress or silent)
    ending = {"event": "end", "state": "undone", "who": cluster.api.whoami(), "kept": kept}
    for id in ids:
        journal.append(id, ending)
    return tuple(kept)


def history(cluster: Cluster) -> list[ChangeSummary]:
    """Every change that the cluster's journal holds, the newest first."""
    return Journal(cluster).changes()


def require_consent(consent: str, name: str) -> None:
    """Raise ``BadInput`` unless whoever asks for what hurts wrote its name once more."""
    if consent != name:
        raise BadInput("consent", f"it is {consent!r}, not {name!r}.", remedy="Write the name once more.")


def silent(_: object) -> None:
    """Nobody wants to know."""


def _checked(cluster: Cluster, steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
    try:
        return executor.check(cluster, steps)
    except Conflict as error:
        if MANAGER not in error.managers:
            raise
        remedy = "A release moves these weights: let it end, or run it again if its process is gone."
        raise Conflict(error.message, remedy=remedy, managers=error.managers) from error


def _warnings(pending: Sequence[PlannedStep]) -> Iterator[Finding]:
    """What the server said in the dry runs, once for all objects that it said it of."""
    said: dict[str, list[str]] = {}
    for one in pending:
        for text in one.warnings:
            said.setdefault(text, []).append(one.step.title)
    for text, (first, *more) in said.items():
        where = f"{first} and {len(more)} more" if more else first
        yield codes.finding(codes.SERVER_WARNING, where, f"{text.rstrip('.')}.")


def _require_fitting(pending: Sequence[PlannedStep]) -> None:
    """Check objects of kinds that the plan itself installs against their definitions."""
    for one in pending:
        if one.needs is None or one.needs.kind.kind != "CustomResourceDefinition":
            continue
        found = schema.problems(one.step.object, one.needs.object)
        if found:
            remedy = "Correct the intent; nothing was changed."
            raise BadInput(one.step.title, f"does not fit its definition: {'; '.join(found)}.", remedy=remedy)


def _require_rights(cluster: Cluster, planned: Sequence[PlannedStep]) -> None:
    steps = [one.step for one in planned]
    wanted = rights.of_steps(cluster.api, steps) | rights.of_releases(cluster, steps)
    rights.require(cluster.api, wanted | rights.of_journal(cluster.api))


def _taken_back(cluster: Cluster, journal: Journal, change: str, error: MeshkitError) -> MeshkitError | None:
    """Undo a change that stopped half way, and say how that went; None when it had changed nothing yet."""
    try:
        records = journal.records(change)
        wanted = undoing.restorations(cluster.api, records)
        if not wanted:
            journal.append(change, {"event": "end", "state": "failed", "error": str(error)})
            return None
        undoing.require_untouched(cluster, wanted)
        undoing.restore(cluster, wanted, silent)
        journal.append(change, {"event": "end", "state": "undone", "error": str(error)})
    except MeshkitError as second:
        return NeedsPerson(
            f"{error.message} What was done before could not be taken back: {second.message}",
            remedy=f"Settle this by hand, then run 'meshkit undo {change}'. {second.remedy}",
        )
    return ChangeFailed(
        f"{error.message} The steps before were taken back.",
        remedy=error.remedy,
        change_id=change,
        undone=True,
    )
