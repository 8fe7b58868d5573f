"""``mk.upgrade_back`` rolls back the newest upgrade in the required order.

The journal identifies the changes of an upgrade by operation, mesh, version and revision; their ``phase``
determines the order of the rollback.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary, Operation
from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import Snapshot
from meshkit.kube import kinds as kube_kinds
from meshkit.kube.kinds import POD
from meshkit.meshes import registry
from meshkit.operations.change import history, locked, undo_together, without_operation
from meshkit.operations.plan import Change
from meshkit.operations.progress import OnEvent, UndoStarted, noop
from meshkit.operations.upgrade.state import users

NAME = "upgrade"
CONTROL_PLANE, NAMESPACE, WHOLE_MESH, RETIRE = "control-plane", "namespace", "whole-mesh", "retire"
"""The phases of an upgrade, as the journal names them."""
LOCK = "upgrade"
"""The name of the Lease held during an upgrade."""


def operation_of_phase(
    mesh: str, version: str, revision: str, phase: str, *, namespace: str = "", in_place: bool = False
) -> Operation:
    """The journal's operation for one change of an upgrade; ``revision`` is empty for an upgrade in place."""
    facts: dict[str, str | bool] = {"revision": revision, "phase": phase}
    facts |= {"namespace": namespace} if namespace else {}
    facts |= {"in_place": True} if in_place else {}
    return Operation(NAME, mesh, version, facts)


def back_changes(cluster: Cluster) -> list[ChangeSummary]:
    """The changes of the newest upgrade that are not undone, newest first, which ``upgrade_back`` undoes.

    Raises ``BadInput`` if the journal contains no upgrade, or if the newest was rolled back.
    """
    changes = history(cluster)
    upgrades = [change for change in changes if change.operation.name == NAME]
    if not upgrades:
        raise BadInput("upgrade", "the journal contains no upgrade.", remedy=without_operation(changes))
    newest = upgrades[0].operation
    not_undone = [
        change
        for change in upgrades
        if _is_same(change.operation, newest) and change.state in ("done", "open")
    ]
    if not not_undone:
        problem = f"the newest one ({describe(newest)}) was already rolled back."
        raise BadInput("upgrade", problem, remedy="See 'meshkit history'.")
    return not_undone


def describe(operation: Operation) -> str:
    """An upgrade in a few words."""
    revision = operation.facts.get("revision")
    return f"{operation.mesh} {operation.target}" + (f", revision {revision}" if revision else "")


def upgrade_back(cluster: Cluster, *, progress: OnEvent = noop) -> list[Change]:
    """Roll back the newest upgrade.

    First an old control plane that was retired or replaced in place is restored, then every namespace (its
    label before its pods), and at last a new control plane beside the old one is removed. An interrupted
    rollback can be repeated. Raises what ``back_changes`` raises, and ``ManualActionRequired`` for objects
    that others have changed since, or if the new control plane is still in use.
    """
    return undo_upgrade(back_changes(cluster), cluster, progress=progress)


def undo_upgrade(
    changes: Sequence[ChangeSummary], cluster: Cluster, *, progress: OnEvent = noop
) -> list[Change]:
    """Undo these changes of an upgrade, given newest first, in the order of ``upgrade_back``."""
    with locked(cluster, LOCK, progress) as report:
        return back_under_lock(changes, cluster, report)


def back_under_lock(changes: Sequence[ChangeSummary], cluster: Cluster, progress: OnEvent) -> list[Change]:
    """Undo changes in the order of their phases; the caller holds the lock.

    A control plane that was replaced in place is restored before the proxies, because pods that restart while
    the new one is installed would get the new proxy again. A control plane beside the old one is removed
    last.
    """
    done = []
    for phase in ("retire", "replaced", "moved", "beside"):
        group = [one for one in changes if _order(one.operation) == phase]
        if group:
            if phase == "beside":
                _require_unused(cluster, str(group[0].operation.facts.get("revision", "")))
            what = ", ".join(dict.fromkeys(one.what for one in group))
            progress(UndoStarted(what))
            ids = [one.id for one in group]
            done.append(undo_together(ids, cluster, what=f"Undo of {what}", progress=progress))
    return done


def _order(operation: Operation) -> str:
    """The phase in which a change is undone."""
    phase = operation.facts.get("phase")
    if phase == RETIRE:
        return "retire"
    if phase == CONTROL_PLANE:
        return "replaced" if operation.facts.get("in_place") else "beside"
    return "moved"


def _is_same(one: Operation, other: Operation) -> bool:
    """Whether two changes belong to the same upgrade."""
    revisions = one.facts.get("revision"), other.facts.get("revision")
    return (one.mesh, one.target) == (other.mesh, other.target) and revisions[0] == revisions[1]


def _require_unused(cluster: Cluster, revision: str) -> None:
    """Raise ``ManualActionRequired`` if pods or namespaces still use the new control plane.

    They may have been created since the upgrade.
    """
    seen = Snapshot((*cluster.api.list(POD), *cluster.api.list(kube_kinds.NAMESPACE)))
    rows = (row for row in registry.MESHES.values() if row.revisions)
    titles = [user for row in rows for user in users(seen, row, revision)]
    if titles:
        raise ManualActionRequired(
            f"{len(titles)} still use revision {revision}: {', '.join(titles[:5])}. It was not removed.",
            remedy="Select the old revision there, restart the pods, and roll back the upgrade again.",
        )
