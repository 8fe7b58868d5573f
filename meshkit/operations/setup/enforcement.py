"""Strict mutual TLS, watched: applied, looked at while calls run, taken back by itself when one is refused.

Refusals are counted by the servers' proxies, lost requests by the callers'. Both are compared with what they
were before, so a shop that fails anyway is not blamed on this change. A caller that is known to speak plain
text is refused on purpose only when a person accepted that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.errors import ChangeFailed, MeshkitError
from meshkit.observe.callers import Calls, read_callers
from meshkit.operations.change import apply
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.plan import Change, Plan
from meshkit.operations.traffic_gate import TOLERATED, Looks, Say, taken_back

WATCH_S = 20.0
"""How long refusals are looked for after the last step."""


@dataclass(frozen=True)
class Watching:
    """How a change of mutual TLS is watched: for how long, and whether refusals are accepted."""

    namespace: str
    watch_s: float = WATCH_S
    accept_refused: bool = False
    clock: Clock = field(default_factory=SystemClock)


def enforce(
    plan: Plan,
    cluster: Cluster,
    watching: Watching,
    *,
    progress: Callable[[Progress], None],
    say: Say,
    why: str = "",
) -> Change:
    """Apply a plan of mutual TLS and watch it. ChangeFailed, undone, when calls are refused or lost."""
    looks = Looks(lambda: read_callers(cluster, plan.mesh, watching.namespace))
    change = apply(plan, cluster, progress=progress, why=why)
    if not change.id:
        return change
    try:
        say(f"Watching for refused calls, {watching.watch_s:g} s.")
        for calls in looks.during(watching.watch_s, watching.clock):
            say(_words(calls))
            _require_calm(calls, watching)
    except MeshkitError as trouble:
        say(f"{trouble.message} Taking it back.")
        raise taken_back(change, cluster, trouble) from trouble
    return change


def _require_calm(calls: Calls, watching: Watching) -> None:
    refused, failed = calls.count("refused"), calls.count("failed")
    if refused and not watching.accept_refused:
        servers = ", ".join(
            dict.fromkeys(link.server for link, recent, _ in calls.links("refused") if recent)
        )
        raise ChangeFailed(
            f"{refused:,} connections without a mesh identity were refused at {servers}.",
            remedy="Find the caller among the workloads without a sidecar, inject it, and try again.",
            change_id="",
            undone=False,
        )
    if failed > TOLERATED:
        raise ChangeFailed(
            f"{failed:,} requests of meshed callers got no answer.",
            remedy="Look at the servers' pods and sidecars, then try again.",
            change_id="",
            undone=False,
        )


def _words(calls: Calls) -> str:
    parts = [f"{calls.count('mutual_tls'):,} over mutual TLS", f"{calls.count('refused'):,} refused"]
    parts.append(f"{calls.count('failed'):,} without an answer")
    return ", ".join(parts)
