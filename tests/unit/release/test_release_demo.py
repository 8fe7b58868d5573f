"""Numbers small enough for a demonstration, in simulation: what they promise must hold for every seed, not
on average.
"""

from __future__ import annotations

import pytest

from meshkit.intent.release import Margins
from meshkit.operations.release.runner import Outcome
from meshkit.testing import EDGES_MS, Behaviour, ScriptedObserver
from tests.unit.release.stage import BAD, GOOD, Stage

ISTIO_EDGES_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
LINKERD_EDGES_MS = tuple(float(digit * 10**power) for power in range(5) for digit in (1, 2, 3, 4, 5))


def run(behaviour: Behaviour, edges_ms: tuple[float, ...], seed: int) -> Outcome:
    stage = Stage(
        canary_behaviour=behaviour,
        rps=300,
        steps=(0.2, 10, 50, 100),
        step_s=5,
        min_requests=5,
        warm_up_s=5,
        baseline_s=0,
        soak_s=0,
        watch_s=0,
        deadline_s=120,
        margins=Margins(error_points=1, p50_percent=300, p90_percent=400, p99_percent=400),
    )
    behaviours = {"v1": GOOD, "v2": behaviour}
    stage.observer = ScriptedObserver(
        stage.clock, behaviours, rps=300, split=stage.fake.split, seed=seed, edges_ms=edges_ms
    )
    return stage.run()


@pytest.mark.parametrize(
    "edges_ms", [EDGES_MS, ISTIO_EDGES_MS, LINKERD_EDGES_MS], ids=["fine", "istio", "linkerd"]
)
@pytest.mark.parametrize("seed", range(3))
def test_good_release_is_promoted_within_a_minute(edges_ms: tuple[float, ...], seed: int) -> None:
    outcome = run(GOOD, edges_ms, seed)
    assert outcome.result == "promoted"
    assert outcome.state.ended_s is not None
    assert outcome.state.ended_s - outcome.state.started_s < 60


@pytest.mark.parametrize(
    "edges_ms", [EDGES_MS, ISTIO_EDGES_MS, LINKERD_EDGES_MS], ids=["fine", "istio", "linkerd"]
)
@pytest.mark.parametrize("seed", range(5))
def test_bad_release_harms_fewer_than_one_request_in_a_hundred(
    edges_ms: tuple[float, ...], seed: int
) -> None:
    outcome = run(BAD, edges_ms, seed)
    assert outcome.result == "rolled_back"
    looks = [judged.look for judged in outcome.state.looks if judged.look.step >= 0]
    canary = sum(look.canary.requests for look in looks)
    assert canary < 0.01 * (canary + sum(look.stable.requests for look in looks))
