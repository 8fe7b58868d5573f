"""``mk.upgrade_back``: the newest upgrade taken back in one command, in the order that works.

What an upgrade's changes are called in the journal stands here: by it they are found again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from meshkit.cluster import rights
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.cluster.journal import ChangeSummary
from meshkit.cluster.lock import held
from meshkit.errors import BadInput, NeedsPerson
from meshkit.facts import Snapshot
from meshkit.kube import kinds as kube_kinds
from meshkit.kube.kinds import POD
from meshkit.meshes import registry
from meshkit.operations.change import Report, history, silent, undo_together
from meshkit.operations.plan import Change
from meshkit.operations.traffic_gate import Say
from meshkit.operations.upgrade.state import users

WHY = "upgrade to "
BESIDE = ", revision "
CONTROL_PLANE, IN_PLACE = "Upgrade: control plane", " in place"
NAMESPACE, RETIRE = "Upgrade: namespace", "Upgrade: retire"
LOCK = "upgrade"
"""The name of the Lease that whoever upgrades holds."""


def back_changes(cluster: Cluster) -> list[ChangeSummary]:
    """The changes of the newest upgrade that still stand, the newest first: what ``upgrade_back`` undoes.

    Raises ``BadInput`` where the journal holds no upgrade, or the newest was taken back.
    """
    changes = history(cluster)
    why = next((one.why for one in changes if one.why.startswith(WHY)), None)
    standing = [one for one in changes if one.why == why and one.state in ("done", "open")]
    if not standing:
        problem = f"the newest one ({why}) was taken back." if why else "the journal holds none."
        raise BadInput("upgrade", problem, remedy="See 'meshkit history'.")
    return standing


def upgrade_back(cluster: Cluster, *, progress: Report | None = None, say: Say = silent) -> list[Change]:
    """Take the newest upgrade back: an old control plane that was retired or replaced in its place first,
    then every namespace, its marks before its pods, and at last a new control plane beside the old.

    Run it again where it was interrupted. Raises what ``back_changes`` raises, and ``NeedsPerson`` for
    objects that others have changed since, or where somebody still needs the new control plane.
    """
    changes = back_changes(cluster)
    with only_one(cluster, progress) as report:
        return back_under_lock(cluster, changes, report, say)


def back_under_lock(
    cluster: Cluster, changes: Sequence[ChangeSummary], progress: Report, say: Say
) -> list[Change]:
    """A control plane that was replaced in its place goes back before the proxies: those that are made anew
    while the new one is there would be new again. One beside the old goes last.
    """
    retired = [one for one in changes if one.what.startswith(RETIRE)]
    planes = [one for one in changes if one.what.startswith(CONTROL_PLANE)]
    replaced = [one for one in planes if IN_PLACE in one.what]
    beside = [one for one in planes if one not in replaced]
    moved = [one for one in changes if one not in (*retired, *planes)]
    done = []
    for group in (retired, replaced, moved, beside):
        if group:
            if group is beside:
                _require_nobody(cluster, group[0].why)
            what = ", ".join(dict.fromkeys(one.what.partition(" (")[0] for one in group))
            say(f"Back: {what}.")
            ids = [one.id for one in group]
            done.append(undo_together(ids, cluster, what=f"Undo of {what}", progress=progress))
    return done


def _require_nobody(cluster: Cluster, why: str) -> None:
    """The control plane beside the old one goes only once nobody needs it: pods may have come since, and
    namespaces that ask for it.
    """
    revision = why.partition(BESIDE)[2]
    seen = Snapshot((*cluster.api.list(POD), *cluster.api.list(kube_kinds.NAMESPACE)))
    rows = (row for row in registry.MESHES.values() if row.revisions)
    found = [user for row in rows for user in users(seen, row, revision)]
    if found:
        raise NeedsPerson(
            f"{len(found)} need revision {revision} still: {', '.join(found[:5])}. It stays.",
            remedy="Let them ask for the old one and restart them, then take the upgrade back again.",
        )


@contextmanager
def only_one(cluster: Cluster, progress: Report | None) -> Iterator[Report]:
    """Nobody else upgrades this cluster for the time of a ``with`` block. Gives a report that stops a change
    before a step once the lock was lost to somebody else.
    """
    rights.require(cluster.api, rights.of_lock())
    with held(cluster, LOCK) as require_lock:

        def report(step: Progress) -> None:
            if step.state == "applying":
                require_lock()
            (progress or silent)(step)

        yield report
