"""A rotation of a mesh's identity taken back as a whole, in the order in which no request is lost.

The old anchor is trusted again before the old issuer issues, the proxies get its certificates after that, and
only then is the new anchor trusted no more.
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
    """Take these changes of a rotation back. Run it again where it was interrupted."""
    done = []
    for phase in _ORDER:
        for one in changes:
            if one.operation.facts.get("phase") == phase:
                if phase == "renew":
                    _await_old_issuer(cluster, one.operation.mesh, one.operation.target, progress)
                progress(UndoStarted(one.what))
                done.append(undo_steps(one.id, cluster, progress=progress))
    return done


def _await_old_issuer(cluster: Cluster, mesh: str, namespace: str, progress: OnEvent) -> None:
    """Wait until the control plane uses the issuer that was put back, maybe by an earlier run."""
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
