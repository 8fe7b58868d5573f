"""A second generator of releases, independent of traffic.py: other latencies, buckets, pods and clocks.

Latencies are lognormal, bimodal or Pareto, seen through Istio's, Linkerd's or fine buckets. Every version has
pods, some of which may be cold, in a slower zone, or added in mid-release; requests may come in clumps
(sticky clients), and a stable version that has little to do may be faster. A case says which is true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rng = np.random.Generator

LOOK_S = 10.0
ISTIO_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)
LINKERD_MS = tuple(float(d * 10**p) for p in range(5) for d in (1, 2, 3, 4, 5))
FINE_MS = tuple(float(f"{5 * 1.03**i:.4g}") for i in range(200))
BUCKETS: Mapping[str, tuple[float, ...]] = {"Istio": ISTIO_MS, "Linkerd": LINKERD_MS, "fine": FINE_MS}

_U = (np.arange(20_000) + 0.5) / 20_000
_Z = np.array([NormalDist().inv_cdf(float(u)) for u in _U])
_LOW, _HIGH = 30 * np.exp(0.3 * _Z), 250 * np.exp(0.25 * _Z)
SHAPES: Mapping[str, Floats] = {
    "lognormal": 60 * np.exp(0.6 * _Z),
    "bimodal": np.sort(np.concatenate([np.repeat(_LOW, 17), np.repeat(_HIGH, 3)]))[10::20],
    "Pareto": 30 * (1 - _U) ** (-1 / 2.5),
}
"""The latencies in ms at evenly spread quantiles."""
EFFECT_OF_TAIL = np.clip((_U - 0.9) / 0.07, 0.0, 1.0)
"""How much of a longer tail each quantile has: none up to p90, all from p97 on."""


@dataclass(frozen=True)
class Pod:
    """One pod: how much slower it is for good, since when it serves (seconds), how cold it starts, and its
    zone (empty: not told).
    """

    slower: float = 1.0
    since_s: float = -1e9
    cold: float = 0.0
    warm_in_s: float = 30.0
    zone: str = ""

    def slowness(self, at_s: float) -> float:
        """How many times as long its requests take at a time."""
        age_s = at_s - self.since_s
        return self.slower * (1 + (self.cold * math.exp(-age_s / self.warm_in_s) if age_s < 1e6 else 0.0))


def _always(_: float) -> float:
    return 1.0


@dataclass(frozen=True)
class Version:
    """What is true of one version; functions take the seconds since the first weight."""

    pods: tuple[Pod, ...] = (Pod(),)
    errors: Callable[[float], float] = lambda _: 0.001
    slower: Callable[[float], float] = _always
    tail: float = 1.0


@dataclass
class Field:
    """Draws the counts of a version in one look: requests, errors, and requests at or below each edge."""

    shape: str
    edges_ms: tuple[float, ...]
    rng: Rng
    clump: int = 1
    _shares: dict[tuple[float, float], Floats] = field(default_factory=dict)

    def counts(self, version: Version, requests: float, at_s: float) -> list[tuple[int, int, list[int]]]:
        """One entry for each pod of the version that serves at the time."""
        serving = [pod for pod in version.pods if pod.since_s <= at_s]
        found = []
        for pod in serving:
            each = int(self.rng.poisson(requests / len(serving) / self.clump)) * self.clump
            errors = self.clump * int(self.rng.binomial(each // self.clump, version.errors(at_s)))
            shares = self._bucket_shares(round(pod.slowness(at_s) * version.slower(at_s), 3), version.tail)
            timed = self.clump * self.rng.multinomial((each - errors) // self.clump, shares)
            found.append((each, errors, [int(n) for n in np.cumsum(timed)]))
        return found

    def _bucket_shares(self, slower: float, tail: float) -> Floats:
        key = (slower, tail)
        if key not in self._shares:
            latencies = SHAPES[self.shape] * slower * (1 + (tail - 1) * EFFECT_OF_TAIL)
            within = np.searchsorted(latencies, self.edges_ms, side="right") / len(latencies)
            self._shares[key] = np.diff(np.concatenate([[0.0], within, [1.0]]))
        return self._shares[key]


def quantile_ms(shape: str, quantile: float, slower: float = 1.0, tail: float = 1.0) -> float:
    """The true latency in ms at a quantile."""
    at = min(len(_U) - 1, int(quantile * len(_U)))
    return float(SHAPES[shape][at] * slower * (1 + (tail - 1) * EFFECT_OF_TAIL[at]))
