"""A burst of one version by itself: however large, it is left out, and the rest is tested as before."""

from __future__ import annotations

import random

import pytest

from meshkit.decide.statistics.bursts import Alone, Counts
from meshkit.decide.statistics.sequential import ALONE, alone_log_evidence

SHARE = 0.01


def after(*windows: Counts, seconds: float = 1.0) -> Alone:
    alone = Alone()
    for counts in windows:
        alone = alone.updated(counts, seconds, SHARE)
    return alone


@pytest.mark.parametrize("seconds", [0.25, 1.0, 5.0])
def test_two_adjacent_moments_are_left_out_however_short_the_windows(seconds: float) -> None:
    per_moment = max(1, round(1 / seconds))
    burst = [(100, 100)] * (2 * per_moment)
    alone = after(*[(100, 1)] * 20, *burst, *[(100, 1)] * 20, seconds=seconds)
    assert alone.worst == (200 * per_moment, 200 * per_moment)
    assert alone.log_evidence(SHARE) == pytest.approx(alone_log_evidence(4000, 40, SHARE, ALONE))


def test_without_a_burst_all_counts_are_tested() -> None:
    alone = after(*[(100, 0)] * 20)
    assert alone.worst == (0, 0)
    assert alone.log_evidence(SHARE) == alone_log_evidence(2000, 0, SHARE, ALONE)


def test_it_never_says_more_than_the_test_of_all_counts() -> None:
    rng = random.Random(5)
    for _ in range(50):
        windows = [(n := rng.randint(0, 300), rng.randint(0, n)) for _ in range(rng.randint(0, 8))]
        alone = after(*windows, seconds=rng.choice([0.3, 1.0, 4.0]))
        assert alone.all == (sum(n for n, _ in windows), sum(x for _, x in windows))
        assert alone.log_evidence(SHARE) <= alone_log_evidence(*alone.all, SHARE, ALONE)


STALL, CALM = (500, 100), (500, 5)


def test_bursts_that_are_over_are_left_out_up_to_three() -> None:
    stalled = [CALM, CALM, STALL, CALM, CALM]
    found = after(*stalled * 3, seconds=5.0)
    assert found.bursts == (STALL,) * 3
    assert alone_log_evidence(*found.all, SHARE, ALONE) > 20
    assert found.log_evidence(SHARE) < 0
    again = after(*stalled * 10, seconds=5.0).log_evidence(SHARE)
    assert again > 20, "a version that stalls again and again is worse"


def test_a_burst_in_two_moments_is_one() -> None:
    alone = after(*[CALM] * 5, (500, 60), (500, 50), *[CALM] * 5, seconds=5.0)
    assert alone.bursts == ((1000, 110),)


@pytest.mark.parametrize("harm", [(500, 500), (500, 100), (500, 40)])
def test_harm_that_goes_on_is_no_burst_and_found_after_two_moments(harm: Counts) -> None:
    before = after(*[CALM] * 20, seconds=5.0)
    for _ in range(6):
        before = before.updated(harm, 5.0, SHARE)
    assert not before.bursts
    assert before.log_evidence(SHARE) > 3
