from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from meshkit.decide.baseline import Baseline, slower_than
from meshkit.errors import NoData

NORMAL = NormalDist()


def lognormal(
    edges: list[float], requests: int = 100_000, median: float = 20, sigma: float = 0.25
) -> Baseline:
    histogram = [(e, round(requests * NORMAL.cdf(math.log(e / median) / sigma))) for e in edges]
    return Baseline((*histogram, (math.inf, requests)))


FINE = [5 * 1.1**i for i in range(30)]


def test_edges_lie_where_the_quantiles_are() -> None:
    baseline = lognormal(FINE)
    for q in (0.5, 0.9, 0.99):
        true = 20 * math.exp(0.25 * NORMAL.inv_cdf(q))
        assert true / 1.06 < baseline.edge_ms(q) < true * 1.06


def test_edges_nearest_to_several_quantiles_are_watched_once() -> None:
    baseline = lognormal([1, 5, 10, 25, 50, 100, 250])
    assert baseline.edges_ms == (25, 50)


def test_margin_is_judged_where_something_happens() -> None:
    """Of 1,000 requests none was slower than 50 ms, though that edge is as near to p99 as 25 ms."""
    coarse = Baseline(((10.0, 3), (25.0, 810), (50.0, 1000), (math.inf, 1000)))
    assert coarse.margin_edge_ms(0.99) == 25


def test_of_edges_equally_near_the_one_next_to_the_requests_is_taken() -> None:
    """All requests are in one bucket; only its upper edge distinguishes a faster version."""
    one = Baseline(((1.0, 0), (100.0, 0), (250.0, 0), (500.0, 1000), (1000.0, 1000), (math.inf, 1000)))
    assert one.margin_edge_ms(0.5) == 250
    assert one.edge_ms(0.999) == 500


def test_margin_is_the_odds_of_a_version_that_much_slower() -> None:
    baseline = lognormal(FINE)
    edge = baseline.edge_ms(0.99)
    usual, slower = (1 - NORMAL.cdf(math.log(edge / m) / 0.25) for m in (20, 20 * 1.1))
    expected = math.log(slower / (1 - slower)) - math.log(usual / (1 - usual))
    assert baseline.margin_log_odds(edge, 10) == pytest.approx(expected, abs=0.03)


def test_without_requests_there_are_no_edges() -> None:
    assert Baseline(()).edges_ms == ()


def test_one_bucket_is_no_margin() -> None:
    baseline = Baseline(((10.0, 5), (math.inf, 10)))
    assert baseline.margin_log_odds(10.0, 50) == 0


def test_slower_than_counts_beyond_each_edge() -> None:
    assert slower_than(((10.0, 3), (20.0, 7), (math.inf, 9)), (10.0, 20.0)) == (6, 2)
    assert slower_than((), (10.0,)) == (0,)


def test_an_edge_that_is_gone_is_no_data() -> None:
    with pytest.raises(NoData, match="no longer count latencies at 15 ms"):
        slower_than(((10.0, 3), (math.inf, 9)), (15.0,))
