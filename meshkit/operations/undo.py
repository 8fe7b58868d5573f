"""``mk.undo`` undoes any change in the journal, whichever operation made it.

A change of steps is restored object by object. Operations with other kinds of changes, or with a required
order of undo, are listed in tables here; the journal's field ``operation`` selects the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, overload

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary, Journal, operation_of
from meshkit.errors import BadInput
from meshkit.operations.change import history, records_to_undo, undo_steps, undo_together
from meshkit.operations.experiments.taking_back import RUN as EXPERIMENT
from meshkit.operations.experiments.taking_back import undo_experiment
from meshkit.operations.identity.rotate import NAME as ROTATION
from meshkit.operations.identity.undo import undo_rotation
from meshkit.operations.plan import Change, Changes
from meshkit.operations.progress import OnEvent, in_notebook
from meshkit.operations.release.restoring.rollback import OPERATION as ROLLBACK
from meshkit.operations.release.restoring.rollback import undo_rollback
from meshkit.operations.release.restoring.undo import undo_release
from meshkit.operations.release.state.fold import BEGIN
from meshkit.operations.release.train.restoring import undo_train
from meshkit.operations.release.train.state import OPERATION as TRAIN
from meshkit.operations.uninstall import require_control_plane_unused
from meshkit.operations.upgrade.rollback import NAME as UPGRADE
from meshkit.operations.upgrade.rollback import undo_upgrade

Records = Sequence[Mapping[str, Any]]
_ONE: Mapping[str, Callable[[str, Cluster, Journal, Records], Change]] = {
    "release": undo_release,
    ROLLBACK: undo_rollback,
    TRAIN: undo_train,
    EXPERIMENT: undo_experiment,
}
"""Operations whose single change does not consist of steps."""
_TOGETHER: Mapping[str, Callable[..., list[Change]]] = {UPGRADE: undo_upgrade, ROTATION: undo_rotation}
"""Operations whose changes are undone together in a specific order; they are passed newest first."""


@overload
def undo(
    change: Change | str,
    cluster: Cluster,
    *,
    progress: OnEvent | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Change: ...
@overload
def undo(
    change: Changes,
    cluster: Cluster,
    *,
    progress: OnEvent | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Changes: ...
def undo(
    change: Change | Changes | str,
    cluster: Cluster,
    *,
    progress: OnEvent | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Change | Changes:
    """Undo a change, or all changes of an operation, whoever made them; a change may be given by its id.

    With ``dry_run``, only check whether this is possible. Raises ``ManualActionRequired``, without changing
    anything, if others have changed the objects since. Namespaces and CustomResourceDefinitions that contain
    other objects stay; ``Change.kept`` lists them. Raises ``BadInput`` if pods would lose the last control
    plane of their mesh, unless ``force`` is set.
    """
    report = progress or in_notebook()
    if isinstance(change, Changes):
        return _together(change, cluster, report, dry_run=dry_run)
    change_id = change.id if isinstance(change, Change) else change
    journal = Journal(cluster)
    records = records_to_undo(change_id, journal)
    special = _ONE.get(_operation(records))
    if special is None:
        if force:
            return undo_steps(change_id, cluster, progress=report, dry_run=dry_run)
        unused = partial(require_control_plane_unused, cluster)
        return undo_steps(change_id, cluster, progress=report, dry_run=dry_run, require=unused)
    if dry_run:
        return Change(change_id, f"Undo of {records[0]['what']}", 1, cluster.ref, dry=True)
    return special(change_id, cluster, journal, records)


def _together(changes: Changes, cluster: Cluster, progress: OnEvent, *, dry_run: bool) -> Changes:
    """Undo those of the changes that are not undone yet."""
    what = f"Undo of {changes.what}"
    ids = {change.id for change in changes.changes}
    not_undone = [
        change for change in history(cluster) if change.id in ids and change.state in ("done", "open")
    ]
    if not not_undone:
        raise BadInput("changes", f"{changes.what} is already undone.", remedy="There is nothing to do.")
    if dry_run:
        return Changes(what, tuple(undo_steps(change.id, cluster, dry_run=True) for change in not_undone))
    special = _TOGETHER.get(not_undone[0].operation.name)
    if special is not None:
        return Changes(what, tuple(special(not_undone, cluster, progress=progress)))
    return Changes(what, (_all(not_undone, cluster, what, progress),))


def _all(not_undone: Sequence[ChangeSummary], cluster: Cluster, what: str, progress: OnEvent) -> Change:
    return undo_together([change.id for change in not_undone], cluster, what=what, progress=progress)


def _operation(records: Records) -> str:
    """The operation that made a change; early records of releases are recognised by their form."""
    name = operation_of(records[0]).name
    if not name and any(record.get("kind") == BEGIN for record in records):
        return "release"
    return name
