"""Apply strict mutual TLS, watch the calls, and undo the change if calls are refused.

Refusals are counted by the servers' proxies, lost requests by the callers'. Both are compared with the counts
before the change, so that existing failures are not attributed to it. A caller that is known to send plain
text is refused only if a person has accepted that. Where the sidecars of servers do not expose refusals,
plaintext calls are counted before the change too: if they end with it, their callers are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshkit.cluster.connect import Cluster
from meshkit.decide.formatting import count
from meshkit.errors import GateFailed, MeshkitError
from meshkit.observe.callers import Calls, read_callers
from meshkit.operations.change import apply_steps
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.plan import Change, Plan
from meshkit.operations.progress import BaselineStarted, CallsCounted, OnEvent, UndoStarted, WatchStarted
from meshkit.operations.traffic_gate import TOLERATED, CallWindows, Tally, taken_back, vanished

WATCH_S = 20.0
"""How long refusals are counted after the last step, in seconds."""


@dataclass(frozen=True)
class Watching:
    """How a change of mutual TLS is watched: for how long, and whether refusals are accepted."""

    namespace: str
    watch_s: float = WATCH_S
    force: bool = False
    """Keep the change although callers without a mesh identity are refused."""
    clock: Clock = field(default_factory=SystemClock)


def enforce(plan: Plan, cluster: Cluster, watching: Watching, *, progress: OnEvent, why: str = "") -> Change:
    """Apply a plan of mutual TLS and watch it.

    Raises ``ChangeFailed``, with the change undone, if calls are refused or lost.
    """
    windows = CallWindows(lambda: read_callers(cluster, plan.mesh, watching.namespace))
    before = _plain_before(windows, plan, watching, progress)
    change = apply_steps(plan, cluster, progress=progress, why=why)
    if not change.id:
        return change
    try:
        progress(WatchStarted(plan.what, watching.watch_s))
        after = Tally()
        for calls in windows.during(watching.watch_s, watching.clock):
            progress(CallsCounted("Calls", _counted(calls)))
            _require_calm(calls, watching)
            after.add(calls)
        if not watching.force:
            _require_plain(before, after)
    except MeshkitError as trouble:
        progress(UndoStarted("it", trouble.message))
        raise taken_back(change, cluster, trouble) from trouble
    return change


def _plain_before(windows: CallWindows, plan: Plan, watching: Watching, progress: OnEvent) -> Tally:
    """Count the calls before the change for as long as after it, if refusals cannot be seen."""
    found = Tally()
    if plan.empty or watching.force or not windows.unseen:
        return found
    progress(BaselineStarted(watching.watch_s))
    for calls in windows.during(watching.watch_s, watching.clock):
        found.add(calls)
    progress(CallsCounted("Before", str(found)))
    return found


def _require_plain(before: Tally, after: Tally) -> None:
    """Raise ``GateFailed`` if plaintext calls to servers that do not show refusals have ended."""
    ended = vanished(before, after, at_least=1)
    if ended:
        remedy = "Find the caller among the workloads without a sidecar, inject it, and try again."
        raise GateFailed(ended, remedy=remedy)


def _require_calm(calls: Calls, watching: Watching) -> None:
    refused, failed = calls.count("refused"), calls.count("failed")
    if refused and not watching.force:
        servers = ", ".join(
            dict.fromkeys(link.server for link, recent, _ in calls.links("refused") if recent)
        )
        raise GateFailed(
            f"{count(refused)} connections without a mesh identity were refused at {servers}.",
            remedy="Find the caller among the workloads without a sidecar, inject it, and try again.",
        )
    if failed > TOLERATED:
        raise GateFailed(
            f"{count(failed)} requests of meshed callers got no answer.",
            remedy="Check the servers' pods and sidecars, then try again.",
        )


def _counted(calls: Calls) -> str:
    parts = [f"{count(calls.count('mutual_tls'))} over mutual TLS", calls.refused_text]
    parts.append(f"{count(calls.count('failed'))} without an answer")
    return ", ".join(parts)
