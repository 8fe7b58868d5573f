"""Test whether the canary's share of failures exceeds the stable version's by at least some points.

For a stable share p the null is "stable fails with p, the canary with p + points". Its e-process is a mean of
likelihood ratios against alternatives fixed beforehand: both versions fail alike, at a share between p and
p + points; or one of them alone is far from its null. As p is unknown, the evidence is the smallest over all
p, which no outcome outside the margin makes large (valid at any time, also where the shares vary in time:
the logarithm of the normaliser is concave in the share).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from meshkit.decide.statistics.sequential import ALONE, alone_log_ratios, log_mean_exp

_BETWEEN = (0.0, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0)
"""Where between both nulls the alternatives lie at which both versions fail alike."""
_TINY = 1e-12
_GRID, _REFINED = 25, 14
_DOWN = tuple(-step for step in ALONE)

Counts = tuple[float, float]
"""Requests, and failures among them."""


def points_log_evidence(points: float, canary: Counts, stable: Counts, by_pods: float = 0.0) -> float:
    """Log evidence that the canary fails less often than the stable version's share plus ``points`` %.

    ``by_pods`` is a log odds ratio by which pods alone may differ; it is subtracted from the canary's null.
    """
    margin = points / 100
    if margin >= 1:
        return math.inf
    requests, failed = stable
    center = (failed + 0.5) / (requests + 1)
    wide = 6 * math.sqrt(center * (1 - center) / (requests + 1)) + 12 / (requests + 1)
    low, high = max(0.0, center - wide - margin), min(1 - margin - _TINY, center + wide)

    def evidence(p: float) -> float:
        return _against(p, margin, canary, stable, by_pods)

    shares = [low + (high - low) * i / (_GRID - 1) for i in range(_GRID)] if high > low else [low]
    values = [evidence(p) for p in shares]
    least = min(range(len(values)), key=values.__getitem__)
    around = shares[max(0, least - 1)], shares[min(len(shares) - 1, least + 1)]
    return min(values[least], _least(evidence, *around))


def points_rate(points: float, share: float, canary_rps: float, stable_rps: float, by_pods: float) -> float:
    """Log evidence per second that two versions with the same ``share`` of failures bring, at best."""
    margin = points / 100

    def rate(p: float) -> float:
        worse = _with_pods(p + margin, by_pods)
        return stable_rps * divergence(share, p) + canary_rps * divergence(share, worse)

    return max(0.0, _least(rate, max(_TINY, share - margin), min(share, 1 - margin - _TINY)))


def divergence(true: float, claimed: float) -> float:
    """The log evidence that one request brings on average against a claimed share of events."""
    claimed = _inside(claimed)
    found = 0.0
    if true > 0:
        found += true * math.log(true / claimed)
    if true < 1:
        found += (1 - true) * math.log((1 - true) / (1 - claimed))
    return found


def _against(p: float, margin: float, canary: Counts, stable: Counts, by_pods: float) -> float:
    null, worse = _inside(p), _inside(_with_pods(p + margin, by_pods))
    requests, failed = canary[0] + stable[0], canary[1] + stable[1]
    at_nulls = _log_likelihood(*stable, null) + _log_likelihood(*canary, worse)
    logs = []
    for part in _BETWEEN:
        share = _inside(null + part * (worse - null))
        logs.append(failed * math.log(share) + (requests - failed) * math.log1p(-share) - at_nulls)
    logs += alone_log_ratios(*stable, null, ALONE)
    logs += alone_log_ratios(*canary, worse, _DOWN)
    return log_mean_exp(logs)


def _log_likelihood(requests: float, failed: float, share: float) -> float:
    return failed * math.log(share) + (requests - failed) * math.log1p(-share)


def _inside(share: float) -> float:
    """The share, kept away from 0 and 1, whose logarithms are infinite."""
    return min(max(share, _TINY), 1 - _TINY)


def _shifted(share: float, step: float) -> float:
    odds = max(share, _TINY) / max(1 - share, _TINY) * math.exp(step)
    return odds / (1 + odds)


def _with_pods(share: float, by_pods: float) -> float:
    return _shifted(share, -by_pods) if by_pods else share


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """The smallest value between two points of a function with one valley there."""
    inner = (math.sqrt(5) - 1) / 2
    for _ in range(_REFINED if high > low else 0):
        left, right = high - inner * (high - low), low + inner * (high - low)
        low, high = (low, right) if function(left) <= function(right) else (left, high)
    return function((low + high) / 2)
