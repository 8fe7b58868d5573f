"""Take a release back whose runner is gone for longer than the release allows.

A guardian is a process beside the runner, on another machine where possible. It does not measure and does not
judge: it reads the state of the release and the Lease of its runner, and rolls the release back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from meshkit.errors import BadInput, ClusterError, Conflict, ManualActionRequired, UnknownName
from meshkit.operations.clock import SystemClock

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.clock import Clock
    from meshkit.operations.release.state.model import ReleaseState

LOOK_S = 5.0
BEGINS_S = 600.0
"""A release that has not begun after so long is no longer waited for."""


def guard_release(
    name: str,
    cluster: Cluster,
    *,
    change_id: str = "",
    clock: Clock | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> ReleaseState | None:
    """Watch over a release until it has ended, and roll it back once nobody ran it for ``unattended_s``.

    ``change_id`` is the run to watch over; without it, it is the latest. ``tell`` gets a sentence for each
    thing that happens. Returns the last state, or None if the release had not begun after 600 seconds. An API
    server that does not answer is asked again, and a release that cannot be rolled back, because stable has
    no ready pods or others have changed the weights, is tried again.
    """
    clock = clock or SystemClock()
    since_s, told = clock.now(), ""
    gone_s: float | None = None
    while True:
        now = clock.now()
        try:
            state = _state(name, cluster, change_id)
            if state is not None and state.train:
                problem = f"release {name} is a member of train {state.train}, which no guardian takes back."
                raise BadInput("guard", problem, remedy="Guard releases that are released alone.")
            if state is None:
                if now - since_s > BEGINS_S:
                    tell(f"Release {name} has not begun, so there is nothing to guard.")
                    return None
            elif state.ended:
                return state
            elif runner := _runner(state, cluster):
                if gone_s is not None:
                    tell(f"{runner} runs release {name} again.")
                gone_s = None
            elif gone_s is None:
                gone_s = now
                tell(f"Nobody runs release {name}; it is rolled back in {state.release.unattended_s:g} s.")
            elif now - gone_s >= state.release.unattended_s:
                state = _taken_back(state, cluster, clock)
                tell(f"Release {name} was rolled back: nobody had run it.")
                return state
        except Conflict as problem:  # somebody has taken it up at this moment
            tell(problem.message)
            gone_s = None
        except ManualActionRequired as problem:
            if problem.message != told:
                tell(problem.message)
            told = problem.message
        except ClusterError as problem:
            if problem.status is not None and problem.status < 500 and problem.status != 429:
                raise
            tell(problem.message)
        clock.sleep(LOOK_S)


def _state(name: str, cluster: Cluster, change_id: str) -> ReleaseState | None:
    """The state of the run; None if it has not begun."""
    from meshkit.operations.release.runner import release_state

    try:
        state = release_state(name, cluster)
    except UnknownName:
        return None
    return None if change_id and state.change_id != change_id else state


def _runner(state: ReleaseState, cluster: Cluster) -> str | None:
    from meshkit.operations.release.runner import runner_of

    return runner_of(state.release, cluster)


def _taken_back(state: ReleaseState, cluster: Cluster, clock: Clock) -> ReleaseState:
    """Roll the release back, if stable has ready pods."""
    from meshkit.operations.release.baseline import require_ready
    from meshkit.operations.release.restoring.rollback import plan_rollback
    from meshkit.operations.release.route import route_of
    from meshkit.operations.release.runner import release_state

    name = state.release.name
    require_ready(cluster, state.release, route_of(state.route))
    plan = plan_rollback(name, cluster, force=True, clock=clock)
    plan.run(cluster, why=f"nobody ran it for {state.release.unattended_s:g} s")
    return release_state(name, cluster)
