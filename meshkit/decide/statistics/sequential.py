"""Anytime-valid evidence from the conditional likelihood of the odds ratio.

Each sample window yields one table for each kind of event (failed, or slower than an edge): ``x`` events
among the canary's ``n_c`` requests, and ``E - x`` among the stable version's ``n_b``. Given the margins (n_c,
n_b, E), ``x`` follows Fisher's noncentral hypergeometric distribution. Its only parameter is the log odds
ratio u: load, time of day, weights and outages that affect both versions cancel exactly. The log likelihood
is

    l(u) = sum over tables of  x u - A(u),    A(u) = ln sum_k C(n_c, k) C(n_b, E - k) e^(u k)

All statements about a release are derived from this concave function, which is stored at points that are
chosen before the first table:

- the mean over g > 0 of e^(l(u0 + g) - l(u0)) is an e-process: P(it ever reaches 1/alpha) <= alpha when the
  odds ratio is at most e^u0, however often one looks (likewise downwards for g < 0: at least e^u0);
- the values of u at which l is within ln(1/alpha) of the log of its mean over the points form an interval
  that contains the true value at all times simultaneously with probability 1 - alpha.

(ter Schure et al., NEJSDS 2(2), 2024; Ville's inequality.)
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

WORSE = (0.1, 0.17, 0.3, 0.5, 0.85, 1.4, 2.3, 3.7)
"""Steps in log odds above the tolerance: from 10 % to 40 times more events, so that no effect is far from
one.
"""
BETTER = (-0.1, -0.2, -0.35, -0.6, -1.0, -1.6)
"""Steps in log odds below a margin, the same idea downwards."""
MARGIN_STEPS = (0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 3.0)
"""Steps in log odds away from a margin of latency, from a tenth to twenty times."""
ALONE = (0.7, 1.4, 2.2, 3.0)
"""Steps in log odds for one version against a fixed share (twice to twenty times more; negated: less)."""
FARTHEST = 15.0
"""The largest log odds ratio (3 million to 1): no release has enough requests to distinguish larger ones."""

_EXACT_TERMS = 40
_PANEL = 0.25


@dataclass(frozen=True)
class Table:
    """One window's counts of one event: ``canary_events`` of ``canary`` requests, ``stable_events`` of
    ``stable``.
    """

    canary: int
    canary_events: int
    stable: int
    stable_events: int

    def __add__(self, other: Table) -> Table:
        """The counts of both."""
        return Table(
            self.canary + other.canary,
            self.canary_events + other.canary_events,
            self.stable + other.stable,
            self.stable_events + other.stable_events,
        )

    @property
    def events(self) -> int:
        """Events of both versions together."""
        return self.canary_events + self.stable_events

    @property
    def informative(self) -> bool:
        """Whether the margins leave the canary's count any freedom."""
        return min(self.canary, self.stable, self.events, self.canary + self.stable - self.events) > 0


@dataclass(frozen=True)
class Likelihood:
    """The log likelihood of the log odds ratio at rising ``points``, over all tables so far.

    ``events`` is the sum of x; ``norms[i]`` and ``means[i]`` are the sums of A and of its slope at the i-th
    point. ``dispersion`` (1: as chance has it) divides the likelihood: what an A/A split showed. ``averaged``
    are the indices of the points whose mean an interval is measured against.
    """

    points: tuple[float, ...]
    dispersion: float = 1.0
    events: int = 0
    norms: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    averaged: tuple[int, ...] = ()

    @classmethod
    def over(
        cls, points: Iterable[float], dispersion: float = 1.0, besides: Iterable[float] = ()
    ) -> Likelihood:
        """Before the first table, to be known at these points (at most FARTHEST from 0) and ``besides``."""
        own, more = ({min(max(u, -FARTHEST), FARTHEST) for u in some} for some in (points, besides))
        known = tuple(sorted(own | more))
        averaged = tuple(i for i, point in enumerate(known) if point in own)
        return cls(known, dispersion, averaged=averaged).empty()

    def updated(self, table: Table) -> Likelihood:
        """With one more window. A table whose margins fix the count changes nothing."""
        if not (self.points and table.informative):
            return self
        norms, means = normalisers(table, self.points)
        one = replace(self, events=table.canary_events, norms=tuple(norms), means=tuple(means))
        return self.plus(one)

    def empty(self) -> Likelihood:
        """The likelihood at the same points before the first table."""
        return replace(self, events=0, norms=self._zeros, means=self._zeros)

    def plus(self, other: Likelihood) -> Likelihood:
        """Both together; they have the same points."""
        return self._with(other, 1)

    def minus(self, other: Likelihood) -> Likelihood:
        """This one without the tables of ``other``, which it contains."""
        return self._with(other, -1)

    def log_ratios(self, null: float, steps: Sequence[float]) -> list[float]:
        """l(null + step) - l(null) for each step; all of them must be among the points.

        A step that would lead beyond FARTHEST ends there.
        """
        at_null = self._value(self._index(null))
        return [self._value(self._index(null + step)) - at_null for step in steps]

    def log_evidence(self, null: float, steps: Sequence[float]) -> float:
        """Log evidence against an odds ratio of at most (steps > 0) or at least (steps < 0) e^``null``."""
        return log_mean_exp(self.log_ratios(null, steps))

    def interval(self, log_limit: float) -> tuple[float, float]:
        """The log odds ratios not refuted with evidence e^``log_limit``; infinite where nothing bounds them.

        Between points the concave l is bounded from above by its tangents, so the interval is never too
        short.
        """
        values = [self._value(i) for i in range(len(self.points))]
        level = log_mean_exp([values[i] for i in self.averaged]) - log_limit
        inside = [i for i, value in enumerate(values) if value >= level]
        return self._end(inside[0], -1, level), self._end(inside[-1], 1, level)

    @property
    def score(self) -> tuple[float, float]:
        """The canary's surplus of events over stable's share, and its variance; 0 must be a point."""
        return (self.events - self.means[self._index(0.0)]) / self.dispersion, self.information

    @property
    def information(self) -> float:
        """The variance of x summed over the tables, where the odds ratio is about 1."""
        middle = min(range(1, len(self.points) - 1), key=lambda i: abs(self.points[i]), default=0)
        if not middle:
            return 0.0
        rise = self.means[middle + 1] - self.means[middle - 1]
        return rise / (self.points[middle + 1] - self.points[middle - 1]) / self.dispersion

    @property
    def _zeros(self) -> tuple[float, ...]:
        return (0.0,) * len(self.points)

    def _with(self, other: Likelihood, sign: int) -> Likelihood:
        return replace(
            self,
            events=self.events + sign * other.events,
            norms=tuple(a + sign * b for a, b in zip(self.norms, other.norms, strict=True)),
            means=tuple(a + sign * b for a, b in zip(self.means, other.means, strict=True)),
        )

    def _value(self, i: int) -> float:
        return (self.events * self.points[i] - self.norms[i]) / self.dispersion

    def _index(self, u: float) -> int:
        i = bisect_left(self.points, min(max(u, -FARTHEST), FARTHEST) - 1e-12)
        if i == len(self.points) or abs(self.points[i] - min(max(u, -FARTHEST), FARTHEST)) > 1e-9:
            raise ValueError(f"{u} is not among the points")
        return i

    def _end(self, inside: int, side: int, level: float) -> float:
        """Where the tangents at the last point inside and the first one outside come down to ``level``."""
        bounds = []
        slope = (self.events - self.means[inside]) / self.dispersion
        if side * slope < 0:
            bounds.append(self.points[inside] + (level - self._value(inside)) / slope)
        outside = inside + side
        if 0 <= outside < len(self.points):
            slope = (self.events - self.means[outside]) / self.dispersion
            bounds.append(self.points[outside] + (level - self._value(outside)) / slope if slope else 0.0)
        return side * min((side * bound for bound in bounds), default=math.inf)


def normalisers(table: Table, points: Sequence[float]) -> tuple[list[float], list[float]]:
    """A(u), up to a constant, and its slope (the mean of x) at rising points: by the exact sum when it is
    short, else by integrating the mean (Simpson, panels of at most 0.25).

    Against the exact sum the error of one table is below 0.01.
    """
    low = max(0, table.events - table.stable)
    high = min(table.canary, table.events)
    if high - low < _EXACT_TERMS:
        return _summed(_log_weights(table, low, high), low, points)
    mean = _mean_of(table)
    norms, means = [0.0], [mean(points[0])]
    for start, end in pairwise(points):
        panels = math.ceil((end - start) / _PANEL)
        width, total, left = (end - start) / panels, 0.0, means[-1]
        for i in range(panels):
            right = mean(start + (i + 1) * width)
            total += left + 4 * mean(start + (i + 0.5) * width) + right
            left = right
        norms.append(norms[-1] + total * width / 6)
        means.append(left)
    return norms, means


def alone_log_evidence(requests: float, events: float, share: float, steps: Sequence[float]) -> float:
    """Log evidence of one version's counts against "each request is an event with probability ``share``".

    Steps above 0: against a share of at most ``share``; below 0: of at least it.
    """
    return log_mean_exp(alone_log_ratios(requests, events, share, steps))


def alone_log_ratios(requests: float, events: float, share: float, steps: Sequence[float]) -> list[float]:
    """Log likelihood ratios of alternatives with the odds of ``share`` times e^g, for each step g, against
    ``share``:  events * g - requests * ln(1 + share (e^g - 1)).
    """
    log1p = math.log1p
    return [events * g - requests * log1p(share * more) for g, more in zip(steps, _odds(*steps), strict=True)]


@functools.lru_cache(maxsize=64)
def _odds(*steps: float) -> tuple[float, ...]:
    """e^g - 1 for each step g."""
    return tuple(map(math.expm1, steps))


def alone_lower_bound(requests: float, events: float, log_limit: float) -> float:
    """The largest share that the counts still refute from above with evidence e^``log_limit``; 0 if none."""
    if not events:
        return 0.0
    low, high = 0.0, events / requests
    for _ in range(40):
        middle = (low + high) / 2
        if alone_log_evidence(requests, events, middle, ALONE) >= log_limit:
            low = middle
        else:
            high = middle
    return low


def log_mean_exp(values: Sequence[float]) -> float:
    """ln of the mean of e^v, without overflow."""
    return log_sum_exp(values) - math.log(len(values))


def log_sum_exp(values: Sequence[float]) -> float:
    """ln of the sum of e^v, without overflow."""
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def _log_weights(table: Table, low: int, high: int) -> list[float]:
    """ln C(n_c, k) C(n_b, E - k) for k = low..high, up to a constant, by the ratio of neighbours."""
    n_c, n_b, events = table.canary, table.stable, table.events
    weights = [0.0]
    for k in range(low, high):
        ratio = (n_c - k) * (events - k) / ((k + 1) * (n_b - events + k + 1))
        weights.append(weights[-1] + math.log(ratio))
    return weights


def _summed(
    log_weights: Sequence[float], low: int, points: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Both sums as polynomials in e^u. Their terms span less than 40 * (FARTHEST + ln ratio): no overflow."""
    top = max(log_weights)
    weights = [math.exp(w - top) for w in reversed(log_weights)]
    norms, means = [], []
    for u in points:
        r, value, slope = math.exp(u), 0.0, 0.0
        for weight in weights:
            slope = slope * r + value
            value = value * r + weight
        norms.append(math.log(value) + u * low)
        means.append(low + r * slope / value)
    return norms, means


def _mean_of(table: Table) -> Callable[[float], float]:
    """The mean at odds ratio e^u: Cornfield's quadratic, corrected once by its own variance.

    With psi = e^u the weights give E[k (n_b - E + k)] = psi E[(n_c - k)(E - k)]; putting k = mean + noise
    turns that into a quadratic in the mean whose constant term carries (psi - 1) times the variance.
    """
    n_c, n_b, events = table.canary, table.stable, table.events
    total = n_c + n_b

    def mean_at(u: float) -> float:
        psi = math.exp(u)
        a, c = psi - 1, psi * n_c * events
        minus_b = psi * (n_c + events) + n_b - events
        mean = 2 * c / (minus_b + math.sqrt(minus_b * minus_b - 4 * a * c))
        others = (n_c - mean, events - mean, n_b - events + mean)
        if mean <= 0 or min(others) <= 0:
            return mean
        inverse = 1 / mean + 1 / others[0] + 1 / others[1] + 1 / others[2]
        c += a * total / (total - 1) / inverse
        square = minus_b * minus_b - 4 * a * c
        # Where x has nearly no freedom left, its variance is near 0, and the correction leads too far.
        return 2 * c / (minus_b + math.sqrt(square)) if square >= 0 else mean

    return mean_at
