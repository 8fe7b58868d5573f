"""``mk.undo``: take back any change that the journal holds, whichever operation made it.

A change of steps is put back object by object. An operation whose changes are something else, or must go back
in an order of their own, stands in a table here; the journal's field ``operation`` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary, Journal, operation_of
from meshkit.errors import BadInput
from meshkit.operations.change import history, records_to_undo, undo_steps, undo_together
from meshkit.operations.identity.rotate import NAME as ROTATION
from meshkit.operations.identity.undo import undo_rotation
from meshkit.operations.plan import Change, Changes
from meshkit.operations.progress import OnEvent, noop
from meshkit.operations.release.state import BEGIN
from meshkit.operations.release.undo import undo_release
from meshkit.operations.upgrade.rollback import NAME as UPGRADE
from meshkit.operations.upgrade.rollback import undo_upgrade

Records = Sequence[Mapping[str, Any]]
_ONE: Mapping[str, Callable[[str, Cluster, Journal, Records], Change]] = {"release": undo_release}
"""Operations whose single change is not made of steps."""
_TOGETHER: Mapping[str, Callable[..., list[Change]]] = {UPGRADE: undo_upgrade, ROTATION: undo_rotation}
"""Operations whose changes go back together in an order of their own. They are given newest first."""


@overload
def undo(
    change: Change | str, cluster: Cluster, *, progress: OnEvent = noop, dry_run: bool = False
) -> Change: ...
@overload
def undo(
    change: Changes, cluster: Cluster, *, progress: OnEvent = noop, dry_run: bool = False
) -> Changes: ...
def undo(
    change: Change | Changes | str,
    cluster: Cluster,
    *,
    progress: OnEvent = noop,
    dry_run: bool = False,
) -> Change | Changes:
    """Take a change back, whoever made it, or the changes of an operation; a change may be named by its id.
    With ``dry_run`` only see whether that can be done.

    Raises ``ManualActionRequired`` when others have changed the objects since: then nothing is touched.
    Namespaces and CustomResourceDefinitions that hold objects of others stay, and ``Change.kept`` says so.
    """
    if isinstance(change, Changes):
        return _together(change, cluster, progress, dry_run=dry_run)
    change_id = change.id if isinstance(change, Change) else change
    journal = Journal(cluster)
    records = records_to_undo(change_id, journal)
    special = _ONE.get(_operation(records))
    if special is None:
        return undo_steps(change_id, cluster, progress=progress, dry_run=dry_run)
    if dry_run:
        return Change(change_id, f"Undo of {records[0]['what']}", 1, cluster.ref, dry=True)
    return special(change_id, cluster, journal, records)


def _together(changes: Changes, cluster: Cluster, progress: OnEvent, *, dry_run: bool) -> Changes:
    """Take back those of the changes that still stand."""
    what = f"Undo of {changes.what}"
    ids = {one.id for one in changes.changes}
    standing = [one for one in history(cluster) if one.id in ids and one.state in ("done", "open")]
    if not standing:
        raise BadInput("changes", f"{changes.what} is already undone.", remedy="There is nothing to do.")
    if dry_run:
        return Changes(what, tuple(undo_steps(one.id, cluster, dry_run=True) for one in standing))
    special = _TOGETHER.get(standing[0].operation.name)
    if special is not None:
        return Changes(what, tuple(special(standing, cluster, progress=progress)))
    return Changes(what, (_all(standing, cluster, what, progress),))


def _all(standing: Sequence[ChangeSummary], cluster: Cluster, what: str, progress: OnEvent) -> Change:
    return undo_together([one.id for one in standing], cluster, what=what, progress=progress)


def _operation(records: Records) -> str:
    """The operation that made a change. Records of releases before they had one are known by their form."""
    name = operation_of(records[0]).name
    if not name and any(record.get("kind") == BEGIN for record in records):
        return "release"
    return name
