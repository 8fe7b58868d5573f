"""``mk.upgrade_back``: the newest upgrade taken back in one command, in the order that works.

The changes of an upgrade are found in the journal by operation, mesh, version and revision; their ``phase``
says in which order they go back.
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
"""The name of the Lease that whoever upgrades holds."""


def operation_of_phase(
    mesh: str, version: str, revision: str, phase: str, *, namespace: str = "", in_place: bool = False
) -> Operation:
    """What the journal says of one change of an upgrade. ``revision`` is empty for an upgrade in place."""
    facts: dict[str, str | bool] = {"revision": revision, "phase": phase}
    facts |= {"namespace": namespace} if namespace else {}
    facts |= {"in_place": True} if in_place else {}
    return Operation(NAME, mesh, version, facts)


def back_changes(cluster: Cluster) -> list[ChangeSummary]:
    """The changes of the newest upgrade that still stand, the newest first: what ``upgrade_back`` undoes.

    Raises ``BadInput`` where the journal holds no upgrade, or the newest was taken back.
    """
    changes = history(cluster)
    upgrades = [one for one in changes if one.operation.name == NAME]
    if not upgrades:
        raise BadInput("upgrade", "the journal holds none.", remedy=without_operation(changes))
    newest = upgrades[0].operation
    standing = [one for one in upgrades if _is_same(one.operation, newest) and one.state in ("done", "open")]
    if not standing:
        problem = f"the newest one ({describe(newest)}) was taken back."
        raise BadInput("upgrade", problem, remedy="See 'meshkit history'.")
    return standing


def describe(operation: Operation) -> str:
    """An upgrade in a few words."""
    revision = operation.facts.get("revision")
    return f"{operation.mesh} {operation.target}" + (f", revision {revision}" if revision else "")


def upgrade_back(cluster: Cluster, *, progress: OnEvent = noop) -> list[Change]:
    """Take the newest upgrade back: an old control plane that was retired or replaced in its place first,
    then every namespace, its marks before its pods, and at last a new control plane beside the old.

    Run it again where it was interrupted. Raises what ``back_changes`` raises, and ``ManualActionRequired``
    for objects that others have changed since, or where somebody still needs the new control plane.
    """
    return undo_upgrade(back_changes(cluster), cluster, progress=progress)


def undo_upgrade(
    changes: Sequence[ChangeSummary], cluster: Cluster, *, progress: OnEvent = noop
) -> list[Change]:
    """Take back these changes of an upgrade, given newest first, in the same order."""
    with locked(cluster, LOCK, progress) as report:
        return back_under_lock(changes, cluster, report)


def back_under_lock(changes: Sequence[ChangeSummary], cluster: Cluster, progress: OnEvent) -> list[Change]:
    """A control plane that was replaced in its place goes back before the proxies: those that are made anew
    while the new one is there would be new again. One beside the old goes last.
    """
    done = []
    for phase in ("retire", "replaced", "moved", "beside"):
        group = [one for one in changes if _order(one.operation) == phase]
        if group:
            if phase == "beside":
                _require_nobody(cluster, str(group[0].operation.facts.get("revision", "")))
            what = ", ".join(dict.fromkeys(one.what for one in group))
            progress(UndoStarted(what))
            ids = [one.id for one in group]
            done.append(undo_together(ids, cluster, what=f"Undo of {what}", progress=progress))
    return done


def _order(operation: Operation) -> str:
    """In which of the four groups a change goes back."""
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


def _require_nobody(cluster: Cluster, revision: str) -> None:
    """The control plane beside the old one goes only once nobody needs it: pods may have come since, and
    namespaces that ask for it.
    """
    seen = Snapshot((*cluster.api.list(POD), *cluster.api.list(kube_kinds.NAMESPACE)))
    rows = (row for row in registry.MESHES.values() if row.revisions)
    found = [user for row in rows for user in users(seen, row, revision)]
    if found:
        raise ManualActionRequired(
            f"{len(found)} need revision {revision} still: {', '.join(found[:5])}. It stays.",
            remedy="Let them ask for the old one and restart them, then take the upgrade back again.",
        )
