"""A rotation of Linkerd's identity taken back as a whole, in the order in which no request is lost.

The old anchor is trusted again before the old issuer issues, the proxies get its certificates after that, and
only then is the new anchor trusted no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import ChangeSummary
from meshkit.operations.change import undo_steps
from meshkit.operations.clock import SystemClock
from meshkit.operations.identity.rotate import await_taken_up
from meshkit.operations.plan import Change
from meshkit.operations.progress import OnEvent, UndoStarted, noop

_ORDER = ("retire", "issue", "renew", "trust")


def undo_rotation(
    changes: Sequence[ChangeSummary], cluster: Cluster, *, progress: OnEvent = noop
) -> list[Change]:
    """Take these changes of a rotation back. Run it again where it was interrupted."""
    done, clock = [], SystemClock()
    for phase in _ORDER:
        for one in changes:
            if one.operation.facts.get("phase") != phase:
                continue
            progress(UndoStarted(one.what))
            began_s = clock.now()
            done.append(undo_steps(one.id, cluster, progress=progress))
            if phase == "issue":
                await_taken_up(cluster, one.operation.target, clock, progress, since_s=began_s)
    return done
