"""Confidence intervals for how much worse the canary is, valid at all times simultaneously.

This module converts intervals of log odds ratios to readable units. For latency, that is the increase of a
quantile in percent, read from the baseline's histogram and rounded outward to bucket edges. For errors, it is
the ratio of the odds of failing. Each interval holds on its own with the release's confidence. If the stable
pods differ by more than the tolerance, their spread is added on both sides.
"""

from __future__ import annotations

import math

from meshkit.decide.evidence import Evidence
from meshkit.decide.margins import LatencyMargin
from meshkit.decide.statistics.sequential import FARTHEST, Likelihood
from meshkit.decide.thresholds import TOLERANCE, Yardstick


def slower_percent(evidence: Evidence, edge: int) -> tuple[float, float]:
    """The bounds, in percent, of how much longer the latency at a watched edge is than stable's.

    Negative means shorter; -100 and infinity mean unbounded.
    """
    yardstick = evidence.yardstick
    low, high = _widened(evidence.compared[edge].all, yardstick, yardstick.tolerance_slower[edge])
    edge_ms, baseline = yardstick.edges_ms[edge], yardstick.baseline
    least = baseline.slower_percent(edge_ms, low, upper=False) if math.isfinite(low) else -100.0
    most = baseline.slower_percent(edge_ms, high, upper=True) if math.isfinite(high) else math.inf
    return least, most


def margin_percent(evidence: Evidence, margin: LatencyMargin) -> tuple[float, float]:
    """The bounds, in percent, of how much longer the latency of a margin's quantile is than stable's.

    The upper bound is what the margin's own test has shown; until then none within the margin is stated.
    """
    low, high = slower_percent(evidence, margin.edge)
    if evidence.within(margin) >= 1 / evidence.yardstick.alpha:
        return min(low, margin.shown_percent), margin.shown_percent
    return low, high if high > margin.percent else math.inf


def failure_ratio(evidence: Evidence) -> tuple[float, float]:
    """The bounds of the canary's odds of failing relative to stable's; 0 and infinity mean unbounded."""
    yardstick = evidence.yardstick
    low, high = _widened(evidence.errors, yardstick, yardstick.tolerance_errors)
    return math.exp(low), math.exp(high) if high < FARTHEST else math.inf


def failure_points(evidence: Evidence) -> tuple[float, float]:
    """The bounds, in percentage points, of how much larger the canary's share of failures is than stable's.

    The lower bound is that of ``failure_ratio`` at the share of stable's requests that have failed. The upper
    bound is what the margin's own test has shown; until then none within the margin is stated. Infinity means
    unbounded.
    """
    stable = evidence.stable
    if stable.errors == stable.requests:  # No odds of failing to start from, or no request at all.
        return -math.inf, math.inf
    share = stable.errors / stable.requests
    low, high = (
        100 * (share * ratio / (1 - share + share * ratio) - share) if math.isfinite(ratio) else math.inf
        for ratio in failure_ratio(evidence)
    )
    margin = evidence.yardstick.error_points
    if evidence.errors_within >= 1 / evidence.yardstick.alpha:
        return min(low, margin), margin
    return low, high if high > margin else math.inf


def _widened(likelihood: Likelihood, yardstick: Yardstick, tolerance: float) -> tuple[float, float]:
    low, high = likelihood.interval(math.log(1 / yardstick.alpha))
    pods = tolerance if tolerance > TOLERANCE else 0.0
    return low - pods, high + pods
