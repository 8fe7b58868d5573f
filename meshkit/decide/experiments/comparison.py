"""Intervals for how the requests of one experiment differ from those of another.

The counts of both are compared by the conditional likelihood of the odds ratio, as a release compares its two
versions. Unlike these, two experiments run one after the other: an interval covers chance alone, not what
else differed between the two times, such as the load or a busy machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from meshkit.decide.baseline import Baseline
from meshkit.decide.statistics.sequential import Likelihood, Table
from meshkit.facts import ArmCounts

QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
_POINTS = (*(round(i * 0.1, 1) for i in range(-60, 61)), -8.0, -7.0, 7.0, 8.0)
"""Log odds ratios at which the likelihood is known; beyond them nothing is said to be bounded."""
_FARTHEST = max(_POINTS)


@dataclass(frozen=True)
class LatencyDifference:
    """One quantile in both, in ms, and the bounds of how much longer the second is, in percent.

    The bounds are rounded outward to edges of the histogram; -100 and infinity mean unbounded.
    """

    name: str
    first_ms: float | None
    second_ms: float | None
    low_percent: float = -100.0
    high_percent: float = math.inf


@dataclass(frozen=True)
class CountsDifference:
    """How the second counts differ from the first.

    ``odds_low`` and ``odds_high`` bound the odds of failing relative to the first; 0 and infinity mean
    unbounded.
    """

    first: ArmCounts
    second: ArmCounts
    odds_low: float
    odds_high: float
    latencies: tuple[LatencyDifference, ...]


def compare_counts(first: ArmCounts, second: ArmCounts, *, confidence: float = 0.95) -> CountsDifference:
    """Compare two counts; each interval holds on its own with this confidence."""
    limit = math.log(1 / (1 - confidence))
    low, high = _interval(first.requests, first.errors, second.requests, second.errors, limit)
    return CountsDifference(
        first,
        second,
        0.0 if low <= -_FARTHEST else math.exp(low),
        math.inf if high >= _FARTHEST else math.exp(high),
        tuple(_latency(name, q, first, second, limit) for name, q in QUANTILES),
    )


def summed(counts: Iterable[ArmCounts]) -> ArmCounts:
    """The sum of counts, with a histogram on the edges that all of them have."""
    listed = list(counts)
    histograms = [dict(each.latency_ms) for each in listed if each.latency_ms]
    common = sorted(set.intersection(*(set(each) for each in histograms))) if histograms else []
    return ArmCounts(
        sum(each.requests for each in listed),
        sum(each.errors for each in listed),
        tuple((edge, sum(each[edge] for each in histograms)) for edge in common),
    )


def _latency(name: str, q: float, first: ArmCounts, second: ArmCounts, limit: float) -> LatencyDifference:
    shown = (_rounded(first.quantile_ms(q)), _rounded(second.quantile_ms(q)))
    edges = {edge for edge, _ in first.latency_ms} & {edge for edge, _ in second.latency_ms}
    before, after = (Baseline.of(_on(edges, counts)) for counts in (first, second))
    if not (before.requests and after.requests and before.finite_edges_ms):
        return LatencyDifference(name, *shown)
    edge = before.edge_ms(q)
    counts = (before.requests, before.slower_than(edge), after.requests, after.slower_than(edge))
    low, high = _interval(*counts, limit)
    return LatencyDifference(
        name,
        *shown,
        before.slower_percent(edge, low, upper=False) if low > -_FARTHEST else -100.0,
        before.slower_percent(edge, high, upper=True) if high < _FARTHEST else math.inf,
    )


def _interval(
    requests: int, events: int, other_requests: int, other_events: int, limit: float
) -> tuple[float, float]:
    """The bounds of the log odds ratio of an event, of the second relative to the first."""
    table = Table(other_requests, other_events, requests, events)
    if not table.informative:
        return -_FARTHEST, _FARTHEST
    low, high = Likelihood.over(_POINTS).updated(table).interval(limit)
    return max(low, -_FARTHEST), min(high, _FARTHEST)


def _on(edges: set[float], counts: ArmCounts) -> ArmCounts:
    kept = tuple((edge, n) for edge, n in counts.latency_ms if edge in edges)
    return ArmCounts(counts.requests, counts.errors, kept)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
