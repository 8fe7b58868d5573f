"""What must hold for any counts: nothing crashes, evidence is fair, strata without information are silent."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.statistics.sequential import BETTER, WORSE, Likelihood, Table
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress, Verdict
from meshkit.errors import NoData
from meshkit.facts import ArmCounts
from meshkit.intent.release import Margins, Objectives, Release
from meshkit.observe.counters import CounterKey, Counters, window

NULL = math.log(1.05)
COUNT = st.integers(0, 100_000)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    canary, stable = draw(COUNT), draw(COUNT)
    return Table(canary, draw(st.integers(0, canary)), stable, draw(st.integers(0, stable)))


def fresh() -> Likelihood:
    points = [NULL + step for step in (0.0, *WORSE)] + [math.log(1.5) + step for step in (0.0, *BETTER)]
    return Likelihood.over([*points, -1.0, 0.0])


@given(tables())
@settings(max_examples=300, deadline=None)
def test_any_table_gives_finite_evidence_and_an_ordered_interval(table: Table) -> None:
    seen = fresh().updated(table)
    assert math.isfinite(seen.log_evidence(NULL, WORSE))
    assert math.isfinite(seen.log_evidence(math.log(1.5), BETTER))
    low, high = seen.interval(math.log(20))
    assert low < high
    assert seen.information >= 0


@given(st.lists(tables(), max_size=4), tables())
@settings(max_examples=100, deadline=None)
def test_a_stratum_whose_margins_fix_it_changes_nothing(seen: list[Table], table: Table) -> None:
    likelihood = fresh()
    for one in seen:
        likelihood = likelihood.updated(one)
    silent = [
        Table(table.canary, table.canary_events, 0, 0),
        Table(0, 0, table.stable, table.stable_events),
        Table(table.canary, 0, table.stable, 0),
        Table(table.canary, table.canary, table.stable, table.stable),
    ]
    for one in silent:
        assert likelihood.updated(one) == likelihood


@given(st.lists(tables(), min_size=2, max_size=5), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_strata_does_not_matter(seen: list[Table], rng: random.Random) -> None:
    def evidence(order: list[Table]) -> float:
        likelihood = fresh()
        for one in order:
            likelihood = likelihood.updated(one)
        return likelihood.log_evidence(NULL, WORSE)

    shuffled = rng.sample(seen, len(seen))
    assert evidence(seen) == pytest.approx(evidence(shuffled), rel=1e-9, abs=1e-6)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_expected_evidence_at_the_null_is_one(canary: int, stable: int, events: int) -> None:
    """Exactly, not by simulation: averaged over all counts that the margins allow, at the tolerance."""
    events = min(events, canary + stable)
    low, high = max(0, events - stable), min(canary, events)
    weights = [
        math.lgamma(canary + 1)
        - math.lgamma(k + 1)
        - math.lgamma(canary - k + 1)
        + math.lgamma(stable + 1)
        - math.lgamma(events - k + 1)
        - math.lgamma(stable - events + k + 1)
        + NULL * k
        for k in range(low, high + 1)
    ]
    total = math.fsum(math.exp(w - max(weights)) for w in weights)
    mean = math.fsum(
        math.exp(w - max(weights))
        / total
        * math.exp(fresh().updated(Table(canary, k, stable, events - k)).log_evidence(NULL, WORSE))
        for k, w in zip(range(low, high + 1), weights, strict=True)
    )
    assert mean == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("split", [1, 2, 5, 10])
def test_splitting_a_steady_stratum_loses_almost_nothing(split: int) -> None:
    whole = fresh().updated(Table(1000, 60, 9000, 400)).log_evidence(NULL, WORSE)
    parts = fresh()
    for _ in range(split):
        parts = parts.updated(Table(1000 // split, 60 // split, 9000 // split, 400 // split))
    assert parts.log_evidence(NULL, WORSE) == pytest.approx(whole, abs=0.25)


def test_stopping_when_it_looks_best_does_not_help_a_canary_at_the_tolerance() -> None:
    """One who stops at the highest evidence of 100 looks reaches 20 : 1 in at most 5 % of releases."""
    rng, reached = random.Random(11), 0
    for _ in range(200):
        likelihood, best = fresh(), 0.0
        for _ in range(100):
            odds = 0.05 * math.exp(rng.gauss(0, 1))
            p, q = odds / (1 + odds), odds * 1.05 / (1 + odds * 1.05)
            x, y = (sum(rng.random() < share for _ in range(15)) for share in (q, p))
            likelihood = likelihood.updated(Table(15, x, 15, y))
            best = max(best, likelihood.log_evidence(NULL, WORSE))
        reached += best >= math.log(20)
    assert reached <= 10


@st.composite
def arms(draw: st.DrawFn, edges: int) -> ArmWindow:
    requests = draw(st.integers(0, 5000))
    errors = draw(st.integers(0, requests))
    timed = requests - errors
    slower = sorted((draw(st.integers(0, timed)) for _ in range(edges)), reverse=True)
    return ArmWindow(requests, errors, timed, tuple(slower))


BASELINE = Baseline(
    ((10.0, 200), (20.0, 500), (30.0, 900), (40.0, 990), (50.0, 999), (math.inf, 1000)), 1001, 1, 10
)
RELEASE = Release(
    name="r",
    namespace="n",
    service="s",
    port=80,
    stable="stable",
    canary="canary",
    steps=(10, 50, 100),
    margins=Margins(error_points=1),
    objectives=Objectives(error_percent=2, slower_percent=1, slower_than_ms=45),
)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_any_history_gets_a_verdict_that_comes_back_from_its_record(data: st.DataObject) -> None:
    evidence, edges = Evidence.start(Yardstick.of(BASELINE, RELEASE)), len(BASELINE.edges_ms)
    for i in range(data.draw(st.integers(0, 5))):
        step = data.draw(st.integers(0, 3))
        both = data.draw(arms(edges)), data.draw(arms(edges))
        evidence = evidence.updated(SampleWindow(i * 20.0, i * 20.0 + 20, step, 10, True, False, *both))
    progress = Progress(data.draw(st.integers(-1, 3)), data.draw(st.none() | st.floats(0, 1e5)), 100.0)
    verdict = judge(evidence, RELEASE, progress)
    assert verdict.sentences
    assert all(math.isfinite(value) for value in verdict.numbers.values())
    assert Verdict.from_record(verdict.as_record()).as_record() == verdict.as_record()


def test_no_edges_no_requests_and_one_bucket_are_baselines_too() -> None:
    for histogram in ((), ((math.inf, 10),), ((10.0, 10), (math.inf, 10)), ((10.0, 0), (math.inf, 10))):
        yardstick = Yardstick.of(Baseline(histogram, 10, 10), RELEASE)
        assert judge(Evidence.start(yardstick), RELEASE, Progress(0, 1, 1)).action == "continue"


def test_an_edge_that_is_missing_is_no_data_and_not_a_zero() -> None:
    with pytest.raises(NoData):
        ArmWindow.of(ArmCounts(10, 0, ((10.0, 5), (math.inf, 10))), (20.0,), ArmCounts())


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8))
@settings(deadline=None)
def test_counters_never_give_negative_counts_whatever_resets(values: list[int]) -> None:
    pages = [
        {CounterKey("v1", "requests", "a"): float(v), CounterKey("v1", "errors", "a"): v / 2} for v in values
    ]
    for i, (before, after) in enumerate(pairwise(pages)):
        seen = window(Counters(i, ("v1",), {"p": before}), Counters(i + 1, ("v1",), {"p": after})).arms["v1"]
        assert 0 <= seen.errors <= seen.requests + 1
        assert seen.requests <= max(values)
