"""Undo a rotation of a mesh's identity as a whole, in an order that loses no requests.

First the old anchor becomes trusted again, then the old issuer is restored, then the proxies renew their
certificates with it, and only then the new anchor is removed from the trust bundle.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary, Journal
from meshkit.operations.change import undo_steps
from meshkit.operations.clock import SystemClock
from meshkit.operations.identity.rotate import NAME, await_taken_up
from meshkit.operations.plan import Change
from meshkit.operations.progress import OnEvent, UndoStarted, noop

_ORDER = ("retire", "issue", "renew", "trust")


def undo_rotation(
    changes: Sequence[ChangeSummary], cluster: Cluster, *, progress: OnEvent = noop
) -> list[Change]:
    """Undo these changes of a rotation; an interrupted run can be repeated."""
    done = []
    for phase in _ORDER:
        for change in changes:
            if change.operation.facts.get("phase") == phase:
                if phase == "renew":
                    _await_old_issuer(cluster, change.operation.mesh, change.operation.target, progress)
                progress(UndoStarted(change.what))
                done.append(undo_steps(change.id, cluster, progress=progress))
    return done


def _await_old_issuer(cluster: Cluster, mesh: str, namespace: str, progress: OnEvent) -> None:
    """Wait until the control plane has loaded the restored issuer, possibly in an earlier run."""
    journal = Journal(cluster)
    for one in journal.changes():
        operation = one.operation
        is_issue = operation.facts.get("phase") == "issue"
        is_same = operation.mesh == mesh and operation.target == namespace
        if operation.name == NAME and is_issue and is_same and one.state == "undone":
            ended = next(record for record in journal.records(one.id) if record.get("state") == "undone")
            since = dt.datetime.fromisoformat(ended["at"])
            await_taken_up(cluster, mesh, namespace, SystemClock(), progress, since=since)
            return
