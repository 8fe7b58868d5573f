"""Evidence against scipy's distribution, and its two promises: size under continuous looking, and power."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import nchypergeom_fisher

from meshkit.decide.sequential import (
    ALONE,
    BETTER,
    WORSE,
    LikelihoodRatio,
    Table,
    alone_log_evidence,
    alone_lower_bound,
    normaliser_rises,
)

TOLERANCE = math.log(1.05)


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
    rises = normaliser_rises(table, null, steps)
    for step, rise in zip(steps, rises, strict=True):
        expected = log_ratio_by_scipy(table, null, step)
        assert table.canary_events * step - rise == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "table",
    [Table(0, 0, 50, 3), Table(50, 3, 0, 0), Table(50, 0, 50, 0), Table(50, 50, 50, 50), Table(0, 0, 0, 0)],
    ids=["no canary", "no stable", "no events", "only events", "nothing"],
)
def test_a_table_without_freedom_changes_nothing(table: Table) -> None:
    ratio = LikelihoodRatio(TOLERANCE, WORSE).updated(Table(40, 4, 60, 5))
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
    ratio = LikelihoodRatio(TOLERANCE, WORSE)
    for _ in range(60):
        odds = 0.03 * math.exp(rng.gauss(0, 1))
        canary = _binomial(rng, 20, odds * odds_ratio / (1 + odds * odds_ratio))
        ratio = ratio.updated(Table(20, canary, 180, _binomial(rng, 180, odds / (1 + odds))))
        if ratio.log_evidence >= math.log(20):
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
