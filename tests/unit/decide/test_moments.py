"""A stall of the canary beside stable: it is left out once, and the rest is compared as before."""

from __future__ import annotations

import math
import random

import pytest

from meshkit.decide.statistics.moments import Compared
from meshkit.decide.statistics.sequential import WORSE, Likelihood, Table

NULL = math.log(1.05)
USUAL = Table(canary=100, canary_events=1, stable=300, stable_events=3)
STALL = Table(canary=100, canary_events=20, stable=300, stable_events=3)
DOWN = Table(canary=100, canary_events=90, stable=300, stable_events=3)


def after(*windows: Table, seconds: float = 1.0) -> Compared:
    compared = Compared.start(Likelihood.over([NULL + step for step in (0.0, *WORSE)]), NULL)
    for table in windows:
        compared = compared.updated([table], seconds)
    return compared


def plain(*windows: Table) -> float:
    likelihood = Likelihood.over([NULL + step for step in (0.0, *WORSE)])
    for table in windows:
        likelihood = likelihood.updated(table)
    return likelihood.log_evidence(NULL, WORSE)


@pytest.mark.parametrize("seconds", [0.25, 1.0, 5.0])
def test_two_adjacent_moments_are_left_out_however_short_the_windows(seconds: float) -> None:
    stall = [STALL] * (2 * max(1, round(1 / seconds)))
    usual = [USUAL] * 20
    found = after(*usual, *stall, *usual, seconds=seconds)
    assert found.log_evidence_of_all(NULL) == pytest.approx(plain(*usual, *stall, *usual))
    assert found.log_evidence_of_all(NULL) > math.log(20)
    assert found.log_evidence(NULL) == pytest.approx(plain(*usual, *usual))
    assert found.log_evidence(NULL) < 0


def test_harm_that_goes_on_is_found_two_moments_later() -> None:
    assert after(STALL, STALL).log_evidence(NULL) == pytest.approx(0)
    third = after(STALL, STALL, STALL).log_evidence(NULL)
    assert third == pytest.approx(plain(STALL))
    assert third > math.log(20)


def test_a_version_that_answers_hardly_a_request_in_time_is_found_at_once() -> None:
    found = after(DOWN).log_evidence(NULL)
    assert found == pytest.approx(plain(DOWN))
    assert found > math.log(20)


def test_a_few_slow_requests_are_no_stall() -> None:
    few = Table(canary=100, canary_events=2, stable=900, stable_events=0)
    assert after(few, few).log_evidence(NULL) == pytest.approx(plain(few, few))


def test_it_never_says_more_than_the_test_of_all_windows() -> None:
    rng = random.Random(5)
    for _ in range(30):
        windows = []
        for _ in range(rng.randint(0, 8)):
            canary, stable = rng.randint(0, 200), rng.randint(0, 200)
            windows.append(Table(canary, rng.randint(0, canary), stable, rng.randint(0, stable)))
        found = after(*windows, seconds=rng.choice([0.3, 1.0, 4.0]))
        assert found.log_evidence_of_all(NULL) == pytest.approx(plain(*windows))
        assert found.log_evidence(NULL) <= found.log_evidence_of_all(NULL)
