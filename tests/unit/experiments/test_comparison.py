"""Two runs side by side, with intervals."""

from __future__ import annotations

import math

import pytest

from meshkit.decide.experiments.comparison import compare_counts, summed
from meshkit.errors import BadInput
from meshkit.facts import ArmCounts
from meshkit.operations.experiments.comparison import compare_experiments
from tests.unit.experiments.runs import counts, run


def lognormal(median_ms: float, requests: int = 2000) -> ArmCounts:
    """Answers of the demo shop's programs, counted in buckets of 5 ms."""
    within = [
        (edge, round(requests * (1 + math.erf(math.log(edge / median_ms) / 0.3 / math.sqrt(2))) / 2))
        for edge in map(float, range(5, 300, 5))
    ]
    return ArmCounts(requests, 0, (*within, (math.inf, requests)))


def test_equal_counts_have_an_interval_around_no_difference() -> None:
    found = compare_counts(counts(2000, 40, 100), counts(2000, 40, 100))
    assert found.odds_low < 1 < found.odds_high < 3
    assert all(each.low_percent <= 0 <= each.high_percent for each in found.latencies)


def test_ten_times_the_errors_are_told_from_chance() -> None:
    found = compare_counts(counts(2000, 20), counts(2000, 200))
    assert found.odds_low > 5
    assert found.odds_high < 35


@pytest.mark.parametrize(("first", "second"), [(60, 0), (0, 60)])
def test_all_against_none_is_bounded_on_one_side(first: int, second: int) -> None:
    found = compare_counts(counts(60, first), counts(60, second))
    assert (found.odds_low > 100) == (second > first)
    assert (found.odds_high < 0.01) == (first > second)


def test_errors_in_one_alone_are_bounded_on_one_side() -> None:
    found = compare_counts(counts(2000, 0), counts(2000, 100))
    assert found.odds_low > 10
    assert math.isinf(found.odds_high)


def test_without_errors_nothing_is_bounded() -> None:
    found = compare_counts(counts(100), counts(100))
    assert (found.odds_low, found.odds_high) == (0.0, math.inf)


def test_slower_answers_raise_the_quantile_that_they_reach() -> None:
    for each in compare_counts(lognormal(30), lognormal(60)).latencies:
        assert 30 < each.low_percent <= 100 <= each.high_percent < 300
        assert each.second_ms == pytest.approx(2 * (each.first_ms or 0), rel=0.1)


def test_more_data_gives_a_shorter_interval() -> None:
    few = compare_counts(counts(200, 10), counts(200, 10))
    many = compare_counts(counts(20_000, 1000), counts(20_000, 1000))
    assert many.odds_high / many.odds_low < few.odds_high / few.odds_low


def test_histograms_are_summed_on_their_common_edges() -> None:
    other = ArmCounts(10, 0, ((50.0, 4), (200.0, 8), (math.inf, 10)))
    assert summed([counts(10), ArmCounts(), other]).latency_ms == ((50.0, 14), (math.inf, 20))


def test_two_runs_are_compared_version_by_version() -> None:
    text = str(compare_experiments(run("a"), run("b", errors=20, seconds=40)))
    assert "not at the same time" in text
    (line,) = [line for line in text.splitlines() if line.startswith("web      v2       errors")]
    assert "odds at least" in line
    (same,) = [line for line in text.splitlines() if line.startswith("web      v1       requests")]
    assert "100.0/s" in same


def test_a_third_run_is_compared_with_the_first() -> None:
    found = compare_experiments(run("a"), run("b"), run("c"))
    assert {row["run"] for row in found.rows()} == {1, 2}


def test_one_run_alone_is_refused() -> None:
    with pytest.raises(BadInput, match="nothing to compare"):
        compare_experiments(run())
