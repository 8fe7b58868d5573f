"""The rise of cumulative counters between two readings, across restarts of the proxies."""

from __future__ import annotations

import math

import pytest

from meshkit.errors import NoData
from meshkit.facts import ArmCounts
from meshkit.observe.counters import CounterKey, Counters, Page, window


def page(requests: int, errors: int = 0, version: str = "v1", series: str = "a") -> dict[CounterKey, float]:
    """A page whose answered requests were all between 10 and 20 ms."""
    good = requests - errors
    return {
        CounterKey(version, "requests", series): requests,
        CounterKey(version, "errors", series): errors,
        CounterKey(version, "latency", series, 10.0): 0,
        CounterKey(version, "latency", series, 20.0): good,
        CounterKey(version, "latency", series, math.inf): good,
    }


def reading(at_s: float, **pages: Page | None) -> Counters:
    return Counters(at_s, ("v1", "v2"), pages)


def between(before: Counters, after: Counters) -> ArmCounts:
    return window(before, after).arms["v1"]


def test_rises_of_all_proxies_are_summed() -> None:
    arm = between(reading(0, a=page(100, 10), b=page(5)), reading(5, a=page(150, 12), b=page(6)))
    assert (arm.requests, arm.errors) == (51, 2)
    assert arm.latency_ms == ((10.0, 0), (20.0, 49), (math.inf, 49))


def test_window_has_its_times_and_every_version() -> None:
    samples = window(reading(10, a=page(1)), reading(15, a=page(1)))
    assert (samples.start_s, samples.end_s) == (10, 15)
    assert samples.arms["v2"] == ArmCounts()


def test_proxy_that_is_new_counts_from_zero() -> None:
    assert between(reading(0), reading(5, a=page(7))).requests == 7


def test_counter_that_fell_counts_from_zero() -> None:
    arm = between(reading(0, a=page(1000)), reading(5, a=page(30)))
    assert arm.requests == 30
    assert arm.latency_ms[-1] == (math.inf, 30)


def test_histogram_that_restarted_counts_from_zero_in_every_bucket() -> None:
    """Only one bucket fell; the one above it has already passed its old value and must not be differenced."""
    key = CounterKey("v1", "latency", "a", 10.0), CounterKey("v1", "latency", "a", math.inf)
    arm = between(reading(0, a={key[0]: 10, key[1]: 10}), reading(5, a={key[0]: 3, key[1]: 12}))
    assert arm.latency_ms == ((10.0, 3), (math.inf, 12))


def test_series_that_vanished_says_nothing() -> None:
    both = page(100, series="a") | page(50, series="b")
    assert between(reading(0, a=both), reading(5, a=page(110, series="a"))).requests == 10


def test_series_that_came_back_counts_from_zero() -> None:
    before = reading(0, a=page(100, series="a"))
    after = reading(5, a=page(100, series="a") | page(4, series="b"))
    assert between(before, after).requests == 4


def test_page_that_could_not_be_read_leaves_its_proxy_out() -> None:
    assert between(reading(0, a=None), reading(5, a=page(100))).requests == 0
    assert between(reading(0, a=page(100)), reading(5, a=None)).requests == 0


def test_proxies_with_different_buckets_share_their_common_edges() -> None:
    coarse = {
        CounterKey("v1", "latency", "a", 20.0): 5.0,
        CounterKey("v1", "latency", "a", math.inf): 6.0,
    }
    arm = between(reading(0), reading(5, a=page(10), b=coarse))
    assert arm.latency_ms == ((20.0, 15), (math.inf, 16))


def test_proxy_that_returns_after_a_gap_counts_from_the_end_of_the_gap() -> None:
    first = reading(0, a=page(1_000_000), b=page(10))
    gap = reading(5, b=page(20)).following(first)
    back = reading(10, a=page(1_003_150), b=page(25)).following(gap)
    last = reading(15, a=page(1_003_160), b=page(25)).following(back)
    assert [between(*pair).requests for pair in ((first, gap), (gap, back), (back, last))] == [10, 5, 10]


def test_series_that_returns_after_a_gap_counts_from_the_end_of_the_gap() -> None:
    both = page(100, series="a") | page(5000, series="b")
    first = reading(0, a=both)
    gap = reading(5, a=page(110, series="a")).following(first)
    longer = reading(10, a=page(120, series="a")).following(gap)
    back = reading(15, a=page(130, series="a") | page(5003, series="b")).following(longer)
    last = reading(20, a=page(130, series="a") | page(5004, series="b")).following(back)
    assert between(longer, back).requests == 10
    assert between(back, last).requests == 1


def test_series_that_restarted_during_a_gap_counts_from_zero() -> None:
    first = reading(0, a=page(100, series="a") | page(5000, series="b"))
    gap = reading(5, a=page(110, series="a")).following(first)
    back = reading(10, a=page(110, series="a") | page(4, series="b")).following(gap)
    assert between(gap, back).requests == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -3.0, 1e300])
def test_counter_that_is_no_number_of_requests_is_no_data(value: float) -> None:
    bad = {**page(10), CounterKey("v1", "requests", "a"): value}
    with pytest.raises(NoData, match="The proxy a reports"):
        between(reading(0, a=page(5)), reading(5, a=bad))


def test_edge_that_is_not_a_number_is_no_data() -> None:
    bad = {**page(10), CounterKey("v1", "latency", "a", math.nan): 3.0}
    with pytest.raises(NoData, match="le=nan"):
        between(reading(0, a=page(5)), reading(5, a=bad))


def test_new_proxy_that_is_older_than_the_release_counts_from_its_first_reading() -> None:
    key = CounterKey("v1", "requests", "a")
    first = Counters(100.0, ("v1",), {"p": {key: 1}})
    second = Counters(
        200.0,
        ("v1",),
        {"p": {key: 3}, "old": {key: 900}, "young": {key: 5}},
        started={"old": 50.0, "young": 150.0},
    ).following(first)
    third = Counters(300.0, ("v1",), {"p": {key: 4}, "old": {key: 902}, "young": {key: 9}}).following(second)
    assert window(first, second).arms["v1"].requests == 2 + 5
    assert window(second, third).arms["v1"].requests == 1 + 2 + 4


def test_age_counts_against_the_first_reading_of_the_release() -> None:
    key = CounterKey("v1", "requests", "a")
    first = Counters(100.0, ("v1",), {"p": {key: 1}})
    second = Counters(200.0, ("v1",), {"p": {key: 1}}).following(first)
    third = Counters(300.0, ("v1",), {"p": {key: 1}, "late": {key: 7}}, started={"late": 150.0}).following(
        second
    )
    assert window(second, third).arms["v1"].requests == 7


def test_history_before_any_release_is_counted_whole() -> None:
    key = CounterKey("v1", "requests", "a")
    after = Counters(200.0, ("v1",), {"p": {key: 900}}, started={"p": 50.0})
    assert window(Counters(0.0, ("v1",), {}), after).arms["v1"].requests == 900
