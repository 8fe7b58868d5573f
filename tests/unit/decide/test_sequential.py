"""Evidence against scipy's distribution, and its two promises: size under continuous looking, and power."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import nchypergeom_fisher

from meshkit.decide.statistics.sequential import (
    ALONE,
    BETTER,
    FARTHEST,
    WORSE,
    Likelihood,
    Table,
    alone_log_evidence,
    alone_lower_bound,
)

TOLERANCE = math.log(1.05)


def over(null: float, steps: tuple[float, ...]) -> Likelihood:
    return Likelihood.over([null, *(null + step for step in steps), -1.0, -0.5, 0.0])


def log_ratio_by_scipy(table: Table, null: float, step: float) -> float:
    total = table.canary + table.stable
    alternative = nchypergeom_fisher(total, table.canary, table.events, math.exp(null + step))
    at_null = nchypergeom_fisher(total, table.canary, table.events, math.exp(null))
    return float(alternative.logpmf(table.canary_events) - at_null.logpmf(table.canary_events))


@pytest.mark.parametrize(
    "table",
    [
        Table(canary=2, canary_events=1, stable=300, stable_events=0),
        Table(canary=30, canary_events=5, stable=270, stable_events=11),
        Table(canary=150, canary_events=140, stable=150, stable_events=130),
        Table(canary=57, canary_events=38, stable=62, stable_events=3),
        Table(canary=900, canary_events=150, stable=2100, stable_events=300),
        Table(canary=5000, canary_events=60, stable=5000, stable_events=50),
    ],
)
@pytest.mark.parametrize(("null", "steps"), [(TOLERANCE, WORSE), (math.log(1.5), BETTER)])
def test_log_ratio_is_that_of_the_noncentral_hypergeometric(
    table: Table, null: float, steps: tuple[float, ...]
) -> None:
    ratios = over(null, steps).updated(table).log_ratios(null, steps)
    for step, ratio in zip(steps, ratios, strict=True):
        assert ratio == pytest.approx(log_ratio_by_scipy(table, null, step), abs=0.01)


@pytest.mark.parametrize("table", [Table(60, 60, 60, 0), Table(60, 0, 60, 60), Table(2000, 362, 60, 0)])
def test_the_farthest_odds_leave_no_freedom_and_are_still_numbers(table: Table) -> None:
    known = Likelihood.over([-FARTHEST, 0.0, FARTHEST]).updated(table)
    assert all(map(math.isfinite, (*known.norms, *known.means)))
    assert known.means[0] == pytest.approx(max(0, table.events - table.stable), abs=0.1)
    assert known.means[-1] == pytest.approx(min(table.canary, table.events), abs=0.1)


@pytest.mark.parametrize(
    "table",
    [Table(0, 0, 50, 3), Table(50, 3, 0, 0), Table(50, 0, 50, 0), Table(50, 50, 50, 50), Table(0, 0, 0, 0)],
    ids=["no canary", "no stable", "no events", "only events", "nothing"],
)
def test_a_table_without_freedom_changes_nothing(table: Table) -> None:
    ratio = over(TOLERANCE, WORSE).updated(Table(40, 4, 60, 5))
    assert ratio.updated(table) == ratio


@pytest.mark.parametrize(
    "releases", [300, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_rarely_rolls_back_a_canary_at_the_tolerance_however_often_one_looks(
    releases: int, seed: int
) -> None:
    """Truth exactly at the tolerance, wildly varying common rates, a look after each of 60 windows: at most
    5 %.
    """
    rng = random.Random(seed)
    crossed = sum(_crosses(rng, math.exp(TOLERANCE)) for _ in range(releases))
    assert crossed <= 0.05 * releases  # about 1.5 % is usual


def test_finds_a_canary_that_fails_five_times_as_often() -> None:
    rng = random.Random(21)
    assert sum(_crosses(rng, 5.0) for _ in range(30)) == 30


def _crosses(rng: random.Random, odds_ratio: float) -> bool:
    """Whether evidence of 20 : 1 is ever reached within 60 windows of 20 canary and 180 stable requests."""
    ratio = over(TOLERANCE, WORSE)
    for _ in range(60):
        odds = 0.03 * math.exp(rng.gauss(0, 1))
        canary = _binomial(rng, 20, odds * odds_ratio / (1 + odds * odds_ratio))
        ratio = ratio.updated(Table(20, canary, 180, _binomial(rng, 180, odds / (1 + odds))))
        if ratio.log_evidence(TOLERANCE, WORSE) >= math.log(20):
            return True
    return False


def _binomial(rng: random.Random, n: int, share: float) -> int:
    return sum(rng.random() < share for _ in range(n))


def test_alone_evidence_is_a_likelihood_ratio_of_binomials() -> None:
    requests, events, share = 500, 12, 0.01
    ratios = []
    for g in ALONE:
        odds = share / (1 - share) * math.exp(g)
        p = odds / (1 + odds)
        ratios.append(events * math.log(p / share) + (requests - events) * math.log((1 - p) / (1 - share)))
    expected = math.log(sum(math.exp(r) for r in ratios) / len(ratios))
    assert alone_log_evidence(requests, events, share, ALONE) == pytest.approx(expected)


def test_alone_lower_bound_is_where_the_evidence_meets_the_limit() -> None:
    bound = alone_lower_bound(2000, 60, math.log(80))
    assert 0.01 < bound < 0.03
    assert alone_log_evidence(2000, 60, bound, ALONE) == pytest.approx(math.log(80), abs=1e-3)
    assert alone_lower_bound(2000, 0, math.log(80)) == 0


def test_interval_holds_the_truth_at_every_look() -> None:
    """40 looks in 100 releases with an odds ratio of 1.5: at most 5 of them leave the interval, ever."""
    rng, truth, missed = random.Random(5), math.log(1.5), 0
    for _ in range(100):
        likelihood, covered = over(TOLERANCE, WORSE), True
        for _ in range(40):
            odds = 0.05 * math.exp(rng.gauss(0, 1))
            canary = _binomial(rng, 40, odds * 1.5 / (1 + odds * 1.5))
            likelihood = likelihood.updated(Table(40, canary, 160, _binomial(rng, 160, odds / (1 + odds))))
            low, high = likelihood.interval(math.log(20))
            covered &= low <= truth <= high
        missed += not covered
    assert missed <= 5


def test_interval_between_points_is_never_shorter_than_the_exact_one() -> None:
    table = Table(900, 150, 2100, 300)
    likelihood = over(TOLERANCE, WORSE).updated(table)

    def exact(u: float) -> float:
        of_fisher = nchypergeom_fisher(3000, table.canary, table.events, math.exp(u))
        return float(of_fisher.logpmf(table.canary_events))

    mixture = [math.exp(exact(u)) for u in likelihood.points]
    level = math.log(sum(mixture) / len(mixture)) - math.log(20)
    inside = [u for u in (i / 100 for i in range(-100, 200)) if exact(u) >= level]
    low, high = likelihood.interval(math.log(20))
    assert inside[0] - 0.1 < low <= inside[0]
    assert inside[-1] <= high < inside[-1] + 0.1


def test_without_a_table_nothing_bounds_the_interval() -> None:
    assert over(TOLERANCE, WORSE).interval(math.log(20)) == (-math.inf, math.inf)
