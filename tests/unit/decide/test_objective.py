"""The canary against an objective: which windows count, shared causes, and the rate of false alarms."""

from __future__ import annotations

import math
import random

import pytest

from meshkit.decide.statistics.objective import Objective, Window


def windows(count: int, canary_bad: int, stable_bad: int = 0) -> list[Window]:
    return [Window(10.0 * i, 10.0 * i + 10, 100, canary_bad, 900, stable_bad) for i in range(count)]


def after(*seen: Window, share: float = 0.01) -> Objective:
    objective = Objective(share)
    for window in seen:
        objective = objective.updated(window)
    return objective


def test_counts_wait_until_the_stable_version_is_known_to_be_well() -> None:
    assert after(*windows(6, 5)).requests == 0
    assert (after(*windows(8, 5)).requests, after(*windows(8, 5)).bad) == (200, 10)


def test_a_canary_that_breaks_the_promise_is_found() -> None:
    assert after(*windows(20, 5)).log_evidence > math.log(20)
    assert not after(*windows(20, 5)).shared


def test_what_both_suffer_is_not_counted_but_said() -> None:
    objective = after(*windows(20, 5, stable_bad=45))
    assert objective.requests == 0
    assert objective.log_evidence == 0
    assert objective.shared


def test_a_shared_burst_is_left_out_with_a_minute_around_it() -> None:
    burst = [
        w._replace(canary_bad=50, stable_bad=450) if 100 <= w.start_s < 120 else w for w in windows(40, 0)
    ]
    objective = after(*burst)
    assert objective.bad == 0
    assert 1800 <= objective.requests <= 2100


@pytest.mark.parametrize(("stable", "counted"), [(10, 14), (1, 2)])
def test_two_bad_answers_of_the_stable_version_are_chance_among_many_requests(
    stable: int, counted: int
) -> None:
    """Where they are none, the windows count that are near to one of them only."""
    seen = [w._replace(stable=stable, stable_bad=int(w.start_s in (60, 70))) for w in windows(20, 0)]
    assert after(*seen).requests == 100 * counted


@pytest.mark.parametrize("look_s", [1.0, 5.0])
def test_a_burst_that_an_idle_stable_version_does_not_show_decides_nothing(look_s: float) -> None:
    """Twenty requests of a second fail; the few of the stable version around it happen to fall beside it."""
    calm = [
        Window(look_s * i, look_s * (i + 1), round(20 * look_s), 0, 1, 0) for i in range(round(200 / look_s))
    ]
    middle = len(calm) // 2
    burst = [calm[middle]._replace(canary_bad=10), calm[middle + 1]._replace(canary_bad=10)]
    objective = after(*calm[:middle], *burst, *calm[middle + 2 :])
    assert objective.bad == 20
    assert objective.log_evidence < 0
    young = after(*burst, *(w for w in calm if w.start_s > burst[-1].start_s))
    assert young.log_evidence < math.log(20)


def test_a_canary_that_fails_altogether_breaks_the_promise_within_half_a_minute() -> None:
    failing = [Window(5.0 * i, 5.0 * i + 5, 5, 5, 1, 0) for i in range(18)]
    assert after(*failing).requests == 30
    assert after(*failing).log_evidence > math.log(20 / 0.1)


def test_nothing_is_held_against_a_canary_whose_stable_version_breaks_the_objective_in_all() -> None:
    """Bursts that the gate misses, because few of stable's requests lie around each of them."""
    seen = [Window(200.0 * i, 200.0 * i + 10, 20, 2, 20, 1) for i in range(20)]
    assert after(*seen).bad > 0
    assert after(*seen).log_evidence == 0.0


def test_a_canary_at_the_objective_is_seldom_accused() -> None:
    """Looked at after each of 60 windows, exactly at the promised share: at most 5 %; 2 % is usual."""
    rng, accused = random.Random(3), 0
    for _ in range(300):
        bad, requests = 0, 0
        for _ in range(60):
            requests, bad = requests + 20, bad + sum(rng.random() < 0.02 for _ in range(20))
            if Objective(0.02, requests, bad).log_evidence >= math.log(20):
                accused += 1
                break
    assert accused <= 15
