"""The rules of other tools, as their sources have them, on the same traces. Only what decides is here.

- Flagger (pkg/controller/scheduler.go, scheduler_metrics.go): once an interval the success rate and p99 of
  the canary are held against fixed limits; one miss, or no data, is a failed check. Failed checks add up over
  the run, and the tick *after* the one that reaches the threshold rolls back.
- Argo Rollouts (analysis/analysis.go): a measurement fails when its condition does not hold; the run fails,
  and aborts, as soon as more than ``failureLimit`` have.
- Kayenta (MannWhitneyClassifier, MannWhitney): each metric has one value a minute of either version. The
  98 % interval of the Hodges-Lehmann shift, by the normal approximation with ties and continuity as R has it,
  is High when its lower end is beyond a quarter of the estimated shift and the means rise. One High fails.
  The published solver stops at a rough root; here it is exact, as was meant.

Each returns the seconds until the roll-back, or None within the trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.canaries.traffic import EDGES_MS, ISTIO_MS, SCRAPE_S, Arm, Counts, Floats, Trace

PER_MINUTE = round(60 / SCRAPE_S)
_Z98 = 2.326347874
_FRACTION = 0.25
_ISTIO = np.isin(EDGES_MS, ISTIO_MS)


@dataclass(frozen=True)
class Minutes:
    """One value a minute: the share that failed (NaN without requests) and latency quantiles in ms."""

    errors: Floats
    p50_ms: Floats
    p99_ms: Floats


def minutes(arm: Arm, *, istio_buckets: bool = False) -> Minutes:
    requests, errors = _by_minute(arm.requests), _by_minute(arm.errors)
    buckets = _by_minute(arm.buckets)
    with np.errstate(invalid="ignore"):
        share = errors / requests
    p50, p99 = (
        np.array([quantile_ms(row, q, istio_buckets=istio_buckets) for row in buckets]) for q in (0.5, 0.99)
    )
    return Minutes(share, p50, p99)


def quantile_ms(buckets: Counts, q: float, *, istio_buckets: bool = False) -> float:
    """As ``histogram_quantile``: linear within a bucket, the last finite edge beyond it, NaN without data."""
    cumulative = np.cumsum(buckets)
    edges, within = (EDGES_MS, cumulative[:-1])
    if istio_buckets:
        edges, within = EDGES_MS[_ISTIO], cumulative[:-1][_ISTIO]
    total = cumulative[-1]
    if not total:
        return math.nan
    rank = q * total
    i = int(np.searchsorted(within, rank))
    if i == len(edges):
        return float(edges[-1])
    low, below = (edges[i - 1], within[i - 1]) if i else (0.0, 0)
    return float(low + (edges[i] - low) * (rank - below) / (within[i] - below))


def flagger(
    canary: Minutes, *, success_percent: float = 99.0, p99_ms: float = 500.0, threshold: int = 5
) -> float | None:
    """Flagger's rule with its tutorial's limits, let run to the end of the trace."""
    failed = 0
    for tick in range(len(canary.errors)):
        if failed >= threshold:
            return 60.0 * (tick + 1)
        failed += not _holds(canary, tick, success_percent, p99_ms)
    return None


def argo(
    canary: Minutes, *, success_percent: float = 99.0, p99_ms: float = 500.0, failure_limit: int = 0
) -> float | None:
    """Argo Rollouts' rule, a measurement a minute; ``failureLimit`` 0 is its default."""
    failed = 0
    for tick in range(len(canary.errors)):
        failed += not _holds(canary, tick, success_percent, p99_ms)
        if failed > failure_limit:
            return 60.0 * (tick + 1)
    return None


def kayenta(stable: Minutes, canary: Minutes, *, every_min: int = 1) -> float | None:
    """Kayenta's judge on growing data, every so many minutes, from five values on."""
    for count in range(5, len(canary.errors) + 1):
        if count % every_min:
            continue
        for metric in ("errors", "p50_ms", "p99_ms"):
            values = getattr(canary, metric)[:count], getattr(stable, metric)[:count]
            if high(*(v[~np.isnan(v)] for v in values)):
                return 60.0 * count
    return None


def high(experiment: Floats, control: Floats) -> bool:
    """Whether a metric of the canary is classified High."""
    if not len(experiment) or not len(control) or np.array_equal(experiment, control):
        return False
    if experiment.mean() < control.mean():
        return False
    differences = np.unique(np.subtract.outer(experiment, control))
    if len(differences) == 1:
        return False
    lower = _root(experiment, control, differences, _Z98)
    return lower > _FRACTION * abs(_root(experiment, control, differences, 0.0))


def rank_z(experiment: Floats, control: Floats, shift: float) -> float:
    """The tie-corrected rank sum statistic of (experiment - shift) against control, with continuity."""
    n, m = len(experiment), len(control)
    both = np.concatenate([experiment - shift, control])
    _, inverse, ties = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
    away = ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2
    tied = float((ties.astype(float) ** 3 - ties).sum()) / ((n + m) * (n + m - 1))
    sigma = math.sqrt(n * m / 12 * (n + m + 1 - tied))
    return (away - math.copysign(0.5, away) * (away != 0)) / sigma if sigma else 0.0


def _root(experiment: Floats, control: Floats, differences: Floats, z: float) -> float:
    """The shift at which the statistic, which falls step by step at the differences, comes down to ``z``."""
    if rank_z(experiment, control, differences[0]) <= z:
        return float(differences[0])
    low, up = 0, len(differences) - 1
    while up - low > 1:
        middle = (low + up) // 2
        between = (differences[middle] + differences[middle - 1]) / 2
        low, up = (middle, up) if rank_z(experiment, control, between) > z else (low, middle)
    return float(differences[low])


def _holds(canary: Minutes, tick: int, success_percent: float, p99_ms: float) -> bool:
    success = 100 * (1 - canary.errors[tick])
    return bool(success >= success_percent and canary.p99_ms[tick] <= p99_ms)  # False for NaN


def _by_minute(values: Counts) -> Counts:
    return values.reshape(-1, PER_MINUTE, *values.shape[1:]).sum(axis=1)


def tuned(trace: Trace) -> tuple[float, float]:
    """Limits that an expert would take from this stable version: twice its errors, 1.1 times its p99."""
    history = minutes(Arm(trace.history.requests[:6], trace.history.errors[:6], trace.history.buckets[:6]))
    return 100 * (1 - 2 * trace.scenario.base_errors), 1.1 * float(history.p99_ms[0])
