"""Plan, apply, undo and list changes that consist of steps.

A plan shows what the server would do. ``apply`` does exactly that, and writes the prior state to the
cluster's journal before each step. ``undo`` reads the journal, so anyone with the rights can undo another
person's change. ``operations/undo.py`` builds on this module and also undoes other kinds of changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, overload

from meshkit import codes
from meshkit.checks import gitops
from meshkit.checks.planned import preflight, schema
from meshkit.cluster import executor, rights, snapshot
from meshkit.cluster import undo as undoing
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.cluster.journal import ChangeSummary, Journal, Operation
from meshkit.cluster.lock import held
from meshkit.cluster.steps import dry_run
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import BadInput, ChangeFailed, Conflict, Halted, ManualActionRequired, MeshkitError
from meshkit.facts import Finding
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.traffic import Route
from meshkit.kube.steps import RELEASE_MANAGER, Step
from meshkit.meshes import registry
from meshkit.meshes.routing.planned import needs_of, steps_of
from meshkit.operations.effects import effects_of
from meshkit.operations.plan import Change, OperationPlan, Plan
from meshkit.operations.progress import OnEvent, in_notebook, noop
from meshkit.operations.which_mesh import home_of, mesh_of

__all__ = ["Change", "Plan", "Progress", "apply", "history", "plan", "undo_steps"]

_RELEASED = "A release manages these weights: let it end, or run it again if its process has died."
_OWNED = (
    "Leave the fields to that manager, or take them over with take_fields=True (--take-fields). To shift"
    " traffic through a route that others own, run a release: it changes the weights only."
)
E = TypeVar("E")
R = TypeVar("R")
Report = Callable[[Progress], None]


def plan(
    intents: Intent | Iterable[Intent],
    cluster: Cluster,
    *,
    mesh: str | None = None,
    take_fields: bool = False,
) -> Plan:
    """Compute the steps that make the intents true on a cluster with a mesh, without changing anything.

    Every object is dry-run on the server. An object whose namespace or kind is created by an earlier step is
    validated against its definition now and dry-run right before its own step. Raises ``BadInput`` for what
    the mesh or the cluster does not support, ``Conflict`` naming the owner of a field that would be changed,
    and the server's refusals. With ``take_fields``, the plan takes such fields over and lists their owners;
    it never takes the weights of a running release. ``mesh`` is required only if the cluster has none, or
    several: see ``mesh_of``.
    """
    wanted = (intents,) if isinstance(intents, Intent) else tuple(intents)
    mesh = mesh_of(cluster, mesh, filter(None, (getattr(each, "namespace", None) for each in wanted)))
    row = registry.mesh(mesh)
    routed = any(isinstance(each, Route | DestinationPolicy | Egress) for each in wanted)
    home = home_of(cluster, row) if routed else row.control_plane.home
    seen = snapshot.read(cluster, needs_of(wanted, row, home))
    findings = preflight.check(wanted, seen, mesh)
    for finding in findings:
        if finding.severity == "error":
            raise BadInput(finding.object, finding.message, remedy=f"{finding.remedy} See {finding.code}.")
    steps = steps_of(wanted, seen, row.planner)
    if take_fields:
        steps = tuple(replace(step, force=True) for step in steps)
    what = ", ".join(dict.fromkeys(type(intent).__name__ for intent in wanted)) or "Nothing"
    return plan_steps(steps, cluster, Operation("apply", mesh), what=what, findings=findings)


def plan_steps(
    steps: Sequence[Step],
    cluster: Cluster,
    operation: Operation,
    *,
    what: str,
    findings: Iterable[Finding] = (),
) -> Plan:
    """Make a plan from steps, validated as in ``plan``; ``findings`` precede the server's own warnings."""
    checked = _checked(cluster, steps)
    pending = tuple(one for one in checked if one.action != "keep")
    titles = {one.step.title for one in pending}
    _require_fitting(pending)
    return Plan(
        what=what,
        mesh=operation.mesh,
        context=cluster.context,
        server=cluster.server,
        steps=pending,
        unchanged=sum(one.step.title not in titles for one in checked),
        findings=(*findings, *_taken_from_git(pending), *_warnings(pending)),
        operation=operation.name,
        target=operation.target,
        facts=operation.facts,
        look=lambda: effects_of(pending, cluster, operation.mesh),
        wanted=tuple(steps),
    )


@overload
def apply(
    plan: Plan, cluster: Cluster, *, progress: Report | None = None, why: str = "", confirm: str = ""
) -> Change: ...
@overload
def apply(
    plan: OperationPlan[R],
    cluster: Cluster,
    *,
    progress: OnEvent | None = None,
    why: str = "",
    confirm: str = "",
) -> R: ...
def apply(
    plan: Plan | OperationPlan[R],
    cluster: Cluster,
    *,
    progress: Any = None,
    why: str = "",
    confirm: str = "",
) -> Change | R:
    """Apply a plan exactly as it was shown; ``mk.undo`` reverts it.

    ``progress`` is called with each event; by default a notebook shows them below the cell. ``why`` is stored
    in the journal as free text. A disruptive plan has a ``confirmation``, a name that must be repeated as
    ``confirm``. Rights are checked before the first change, including those for objects that charts create;
    ``Forbidden`` names all that are missing. If an object has changed since the plan, the change stops with
    ``Conflict``. After this or any other failure, the completed steps are undone and ``ChangeFailed`` is
    raised (``ManualActionRequired`` if reverting fails too). After ``Halted``, the completed steps stay.
    """
    require_same_cluster(plan, cluster)
    if plan.confirmation and not plan.empty and confirm != plan.confirmation:
        problem = f"it is {confirm!r}, not {plan.confirmation!r}."
        raise BadInput("confirm", problem, remedy=f"Pass confirm={plan.confirmation!r}.")
    progress = progress or in_notebook()
    if isinstance(plan, Plan):
        return apply_steps(plan, cluster, progress=progress, why=why)
    return plan.run(cluster, progress=progress, why=why)


def require_same_cluster(plan: Plan | OperationPlan[Any], cluster: Cluster) -> None:
    """Raise ``BadInput`` for a plan that was made for another cluster."""
    if plan.cluster.server != cluster.server:
        problem = f"it was made for {plan.cluster}, not for {cluster}."
        raise BadInput("plan", problem, remedy="Plan again on this cluster.")


def apply_steps(
    plan: Plan,
    cluster: Cluster,
    *,
    progress: Report = noop,
    why: str = "",
    judge: executor.Judge = noop,
) -> Change:
    """Apply the steps of a plan as described in ``apply``.

    ``judge`` is called after each wave of steps; it stops the change by raising an exception.
    """
    require_same_cluster(plan, cluster)
    if plan.empty:
        return Change("", plan.what, 0, cluster.ref)
    with locked(cluster, plan.lock, progress) as report:
        return _applied(plan, cluster, report, why, judge)


def _applied(plan: Plan, cluster: Cluster, report: Report, why: str, judge: executor.Judge) -> Change:
    _require_rights(cluster, plan.steps)
    journal = Journal(cluster)
    change = journal.start(plan.record, plan.what, why)
    try:
        outcome = executor.carry_out(cluster, plan.steps, journal, change, report, judge)
    except Halted:
        raise
    except MeshkitError as error:
        failure = _taken_back(cluster, journal, change, error)
        if failure is None:
            raise
        raise failure from error
    journal.append(change, {"event": "end", "state": "done"})
    return Change(change, plan.what, len(plan.steps), cluster.ref, outcome.kept, told=outcome.told)


def undo_steps(
    change_id: str,
    cluster: Cluster,
    *,
    progress: Report = noop,
    dry_run: bool = False,
    require: Callable[[Sequence[undoing.Restoration]], None] = lambda wanted: None,
) -> Change:
    """Restore every object that the steps of a change wrote.

    With ``dry_run``, only check whether this is possible. Raises ``ManualActionRequired``, without changing
    anything, if others have changed the objects since; ``require`` raises if it does not allow these
    restorations. Namespaces and CustomResourceDefinitions that contain other objects stay; ``Change.kept``
    lists them.
    """
    journal = Journal(cluster)
    records = records_to_undo(change_id, journal)
    what = f"Undo of {records[0]['what']}"
    wanted = undoing.restorations(cluster.api, records)
    if not wanted:
        raise BadInput("change", f"{change_id} changed no objects.", remedy="There is nothing to undo.")
    require(wanted)
    _require_undoable(cluster, wanted)
    if dry_run:
        return Change(change_id, what, len(wanted), cluster.ref, dry=True)
    kept = _undone([change_id], wanted, cluster, journal, progress)
    return Change(change_id, what, len(wanted), cluster.ref, kept)


def records_to_undo(change_id: str, journal: Journal) -> list[dict[str, Any]]:
    """Return the records of a change; raise ``BadInput`` if it was already undone."""
    records = journal.records(change_id)
    if any(record.get("state") == "undone" for record in records):
        raise BadInput("change", f"{change_id} is already undone.", remedy="There is nothing to do.")
    return records


def undo_together(ids: Sequence[str], cluster: Cluster, *, what: str, progress: Report = noop) -> Change:
    """Undo several changes, given newest first, as one.

    Objects that determine new pods are restored before any restart. Raises what ``undo_steps`` raises.
    Changes that changed nothing are only marked as undone.
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
    progress: Report,
) -> tuple[str, ...]:
    """Restore the objects of these changes, mark them as undone in the journal, and return what stays."""
    kept = undoing.restore(cluster, wanted, progress)
    ending = {"event": "end", "state": "undone", "who": cluster.api.whoami(), "kept": kept}
    for id in ids:
        journal.append(id, ending)
    return tuple(kept)


def without_operation(changes: Iterable[ChangeSummary]) -> str:
    """Return the remedy for a search by operation without a result: older changes are undone by their ids
    only.
    """
    older = [one.id for one in changes if not one.has_operation and one.state in ("done", "open")]
    if not older:
        return "See 'meshkit history'."
    listed = ", ".join(older[:3])
    return f"{len(older)} changes do not record their operation ({listed}): run 'meshkit undo ID' for each."


def history(cluster: Cluster) -> list[ChangeSummary]:
    """List every change in the cluster's journal, newest first."""
    return Journal(cluster).changes()


@contextmanager
def locked(cluster: Cluster, name: str, progress: Callable[[E], None]) -> Iterator[Callable[[E], None]]:
    """Hold the Lease ``name`` for the duration of a ``with`` block.

    Yields a progress callback that stops the change before its next step once the Lease is lost to another
    holder. Without a name, nothing is locked.
    """
    if not name:
        yield progress
        return
    rights.require(cluster.api, rights.of_lock())
    with held(cluster, name) as require_lock:

        def report(event: E) -> None:
            if isinstance(event, Progress) and event.state == "applying":
                require_lock()
            progress(event)

        yield report


def _checked(cluster: Cluster, steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
    try:
        checked = dry_run.check(cluster, steps)
    except Conflict as error:
        if not error.managers:
            raise
        remedy = _RELEASED if RELEASE_MANAGER in error.managers else _OWNED
        raise Conflict(error.message, remedy=remedy, managers=error.managers) from error
    for one in checked:
        taken = tuple(change.path for change in one.changes if RELEASE_MANAGER in change.owners)
        if one.step.force and taken:
            message = f"{RELEASE_MANAGER} owns {', '.join(taken)} of {one.step.title}."
            raise Conflict(message, remedy=_RELEASED, managers={RELEASE_MANAGER: taken})
    return checked


def _taken_from_git(pending: Sequence[PlannedStep]) -> Iterator[Finding]:
    """Yield a finding for each object of which the plan takes fields that a GitOps tool applies."""
    for planned in pending:
        if planned.after is not None:
            yield from gitops.of_change(planned.after, {o for each in planned.changes for o in each.owners})


def _warnings(pending: Sequence[PlannedStep]) -> Iterator[Finding]:
    """Yield the warnings from the server's dry runs, each once for all objects that it applies to."""
    titles_by_warning: dict[str, list[str]] = {}
    for planned in pending:
        for text in planned.warnings:
            titles_by_warning.setdefault(text, []).append(planned.step.title)
    for text, (first, *more) in titles_by_warning.items():
        where = f"{first} and {len(more)} more" if more else first
        yield codes.finding(codes.SERVER_WARNING, where, f"{text.rstrip('.')}.")


def _require_fitting(pending: Sequence[PlannedStep]) -> None:
    """Validate objects of kinds that the plan itself installs against their definitions."""
    for planned in pending:
        if planned.needs is None or planned.needs.kind.kind != "CustomResourceDefinition":
            continue
        errors = schema.problems(planned.step.object, planned.needs.object)
        if errors:
            remedy = "Correct the intent. Nothing was changed."
            raise BadInput(
                planned.step.title, f"does not match its definition: {'; '.join(errors)}.", remedy=remedy
            )


def _require_rights(cluster: Cluster, planned: Sequence[PlannedStep]) -> None:
    steps = [one.step for one in planned]
    wanted = rights.of_steps(cluster.api, steps) | rights.of_releases(cluster, steps)
    rights.require(cluster.api, wanted | rights.of_journal(cluster.api))


def _taken_back(cluster: Cluster, journal: Journal, change: str, error: MeshkitError) -> MeshkitError | None:
    """Undo a change that stopped half way, and return the error to raise, or None if nothing was changed."""
    try:
        records = journal.records(change)
        wanted = undoing.restorations(cluster.api, records)
        if not wanted:
            journal.append(change, {"event": "end", "state": "failed", "error": str(error)})
            return None
        undoing.require_untouched(cluster, wanted)
        undoing.restore(cluster, wanted, noop)
        journal.append(change, {"event": "end", "state": "undone", "error": str(error)})
    except MeshkitError as second:
        return ManualActionRequired(
            f"{error.message} The completed steps could not be undone: {second.message}",
            remedy=f"Resolve this by hand, then run 'meshkit undo {change}'. {second.remedy}",
        )
    return ChangeFailed(
        f"{error.message} The completed steps were undone.",
        remedy=error.remedy,
        change_id=change,
        undone=True,
    )
