"""Simulated traffic of a stable version and a canary: their answers in each scrape of a release.

Latencies are lognormal (median 60 ms, sigma 0.6, so p99 is 242 ms), 0.1 % of requests fail, and both arms
share slow noise: 5 % of latency, 30 % of the error rate, correlated over two minutes. A scenario changes the
canary, both arms, or single pods.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SCRAPE_S, SCRAPES = 10.0, 180
MEDIAN_MS, SIGMA = 60.0, 0.6
ISTIO_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
EDGES_MS = np.array(sorted({*(float(e) for e in ISTIO_MS), *(10 * 1.03**i for i in range(200))}))
"""Buckets of a ratio of 1.03, which carry margins of 10 %, and Istio's own for rules that read them."""
STABLE_PODS, HISTORY_S, BLOCKS = 10, 600.0, 10
_NORMAL_CDF = np.frompyfunc(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)), 1, 1)
_Z90, _Z97 = 1.2816, 1.8808
_GRID = np.linspace(-8, 8, 1601)


@dataclass(frozen=True)
class Scenario:
    """What is true of the canary, and of both arms. Functions take the seconds since the first weight."""

    name: str
    bad: bool = False
    base_errors: float = 0.001
    canary_errors: float | None = None
    slower: Callable[[float], float] = lambda _: 1.0
    tail: float = 1.0
    hiccups: float = 0.0
    shared_slower: Callable[[float], float] = lambda _: 1.0
    shared_errors: Callable[[float], float] = lambda _: 1.0
    load: Callable[[float], float] = lambda _: 1.0
    pod_sd: float = 0.0
    canary_pods: int = 3


@dataclass(frozen=True)
class Arm:
    """Requests, failures, and answered requests in each bucket (one more than EDGES_MS), for each scrape."""

    requests: Counts
    errors: Counts
    buckets: Counts


@dataclass(frozen=True)
class Trace:
    """One release: both arms, and the stable version before it (``history``; by pod and block of time)."""

    scenario: Scenario
    rps: float
    percent: float
    stable: Arm
    canary: Arm
    history: Arm
    pods: tuple[Arm, ...] = field(default=())


def trace(scenario: Scenario, rps: float, percent: float, seed: int) -> Trace:
    """A release of half an hour at a fixed share of the canary. The same seed gives the same trace."""
    rng = np.random.default_rng([seed, *scenario.name.encode()])
    times = (np.arange(SCRAPES) + 0.5) * SCRAPE_S
    noise = np.exp(0.05 * _slow_noise(rng)), np.exp(0.3 * _slow_noise(rng))
    shared_slower = noise[0] * _of(scenario.shared_slower, times)
    shared_errors = noise[1] * _of(scenario.shared_errors, times)
    load = rps * SCRAPE_S * _of(scenario.load, times)
    stable_pods = rng.normal(0, scenario.pod_sd, STABLE_PODS)
    canary_pods = rng.normal(0, scenario.pod_sd, scenario.canary_pods)
    error_pods = rng.normal(0, 10 * scenario.pod_sd, STABLE_PODS + scenario.canary_pods)
    errors = scenario.base_errors * shared_errors
    worse = errors if scenario.canary_errors is None else scenario.canary_errors * shared_errors
    share = percent / 100
    canary_slower = shared_slower * _of(scenario.slower, times)
    stable = _arm(rng, load * (1 - share), errors, shared_slower, stable_pods, error_pods[:STABLE_PODS])
    canary = _arm(
        rng,
        load * share,
        worse,
        canary_slower,
        canary_pods,
        error_pods[STABLE_PODS:],
        tail=scenario.tail,
        hiccups=scenario.hiccups,
    )
    ones, each = np.ones(BLOCKS), np.full(BLOCKS, rps * HISTORY_S / BLOCKS / STABLE_PODS)
    pods = tuple(
        _arm(rng, each, scenario.base_errors * ones, ones, stable_pods[i : i + 1], error_pods[i : i + 1])
        for i in range(STABLE_PODS)
    )
    history = Arm(*(sum(getattr(pod, part) for pod in pods) for part in ("requests", "errors", "buckets")))
    return Trace(scenario, rps, percent, stable, canary, history, pods if scenario.pod_sd else ())


def _arm(
    rng: np.random.Generator,
    load: Floats,
    errors: Floats,
    slower: Floats,
    pods: Floats,
    error_pods: Floats,
    *,
    tail: float = 1.0,
    hiccups: float = 0.0,
) -> Arm:
    """All pods of one version together; each gets the same part of the load."""
    parts = []
    for offset, error_offset in zip(pods, error_pods, strict=True):
        requests = rng.poisson(load / len(pods))
        failed = rng.binomial(requests, np.minimum(errors * math.exp(error_offset), 1.0))
        shares = _bucket_shares(slower * math.exp(offset), tail, hiccups)
        parts.append((requests, failed, rng.multinomial(requests - failed, shares)))
    return Arm(*(sum(part[i] for part in parts) for i in range(3)))


def _bucket_shares(slower: Floats, tail: float, hiccups: float) -> Floats:
    """The share of requests in each bucket, one row a scrape."""
    within = _within(EDGES_MS, slower, tail)
    if hiccups:
        late = _within(np.maximum(EDGES_MS - 1000, 1e-9), slower, tail)
        within = (1 - hiccups) * within + hiccups * late
    rows = np.hstack([np.zeros((len(slower), 1)), within, np.ones((len(slower), 1))])
    shares = np.clip(np.diff(rows), 0.0, None)
    return shares / shares.sum(axis=1, keepdims=True)


def _within(edges_ms: Floats, slower: Floats, tail: float) -> Floats:
    """The share of requests at or below each edge; ``tail`` stretches what lies beyond p90, in full from p97
    on.
    """
    stretched = SIGMA * _GRID + math.log(tail) * np.clip((_GRID - _Z90) / (_Z97 - _Z90), 0, 1)
    z = np.interp(np.log(edges_ms)[None, :] - np.log(MEDIAN_MS * slower)[:, None], stretched, _GRID)
    return np.asarray(_NORMAL_CDF(z), dtype=np.float64)


def _slow_noise(rng: np.random.Generator) -> Floats:
    """Standard normal noise, correlated over two minutes."""
    keep = math.exp(-SCRAPE_S / 120)
    steps, found = rng.normal(0, 1, SCRAPES), np.empty(SCRAPES)
    found[0] = steps[0]
    for i in range(1, SCRAPES):
        found[i] = keep * found[i - 1] + math.sqrt(1 - keep * keep) * steps[i]
    return found


def _of(function: Callable[[float], float], times: Floats) -> Floats:
    return np.array([function(float(t)) for t in times])


def _wave(t: float) -> float:
    return math.sin(2 * math.pi * t / 1800)


def _in_burst(t: float) -> bool:
    return 600 <= t < 720


NULLS = (
    Scenario("errors 0.1 %"),
    Scenario("errors 1 %", base_errors=0.01),
    Scenario(
        "daily wave",
        shared_slower=lambda t: 1 + 0.15 * _wave(t),
        shared_errors=lambda t: 1 + 0.5 * _wave(t),
        load=lambda t: 1 + 0.5 * _wave(t),
    ),
    Scenario(
        "burst in both",
        shared_errors=lambda t: 100.0 if _in_burst(t) else 1.0,
        shared_slower=lambda t: 2.0 if _in_burst(t) else 1.0,
    ),
    Scenario("cold start", slower=lambda t: 1 + 2 * math.exp(-t / 6)),
)
POD_NULLS = (
    Scenario("pods differ 2 %", pod_sd=0.02, canary_pods=3),
    Scenario("pods differ 5 %, 2 canaries", pod_sd=0.05, canary_pods=2),
    Scenario("pods differ 5 %, 5 canaries", pod_sd=0.05, canary_pods=5),
)
REGRESSIONS = (
    Scenario("errors 0.1 to 0.5 %", bad=True, canary_errors=0.005),
    Scenario("errors 0.1 to 1 %", bad=True, canary_errors=0.01),
    Scenario("errors 1 to 5 %", bad=True, base_errors=0.01, canary_errors=0.05),
    Scenario("p99 +20 %", bad=True, tail=1.2),
    Scenario("p50 +10 %", bad=True, slower=lambda _: 1.1),
    Scenario("2 % of requests +1 s", bad=True, hiccups=0.02),
    Scenario("drift +1 % a minute", bad=True, slower=lambda t: math.exp(0.01 * t / 60)),
)
MARGINS = (
    Scenario("errors at 1.5 times", bad=True, base_errors=0.01, canary_errors=0.01 * 1.5),
    Scenario("p99 at +10 %", bad=True, tail=1.1),
)
