"""Evidence that may be looked at at any time: likelihood ratios on 2x2 tables, averaged over a fixed grid.

One window gives one table per kind of event (failed; slower than an edge): ``x`` of the canary's ``n_c``
requests and ``E - x`` of the stable version's ``n_b``. Given the margins (n_c, n_b, E) the count ``x``
follows Fisher's noncentral hypergeometric distribution, whose only parameter is the odds ratio e^u: load,
time of day, weights and outages shared by both versions cancel exactly. Each table multiplies the ratio of
an alternative u0 + g_j by

    exp(x g_j - [A(u0 + g_j) - A(u0)]),    A(u) = ln sum_k C(n_c, k) C(n_b, E - k) e^(u k)

and the mean over j is an e-process: P(it ever reaches 1/alpha) <= alpha when the odds ratio is at most e^u0
(for g > 0; at least, for g < 0), however often one looks (ter Schure et al., NEJSDS 2(2), 2024; Ville's
inequality).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

WORSE = (0.1, 0.17, 0.3, 0.5, 0.85, 1.4, 2.3, 3.7)
"""Steps in log odds above the tolerance: from 10 % to 40 times more events, so that no effect is far from
one.
"""
BETTER = (-0.1, -0.2, -0.35, -0.6, -1.0, -1.6)
"""Steps in log odds below a margin, the same idea downwards."""
ALONE = (0.7, 1.4, 2.2, 3.0)
"""Steps in log odds for one version against a fixed share (twice to twenty times more; negated: less)."""

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

    @property
    def events(self) -> int:
        """Events of both versions together."""
        return self.canary_events + self.stable_events

    @property
    def informative(self) -> bool:
        """Whether the margins leave the canary's count any freedom."""
        return min(self.canary, self.stable, self.events, self.canary + self.stable - self.events) > 0


@dataclass(frozen=True)
class LikelihoodRatio:
    """One e-process: the null odds ratio e^``null`` against the alternatives e^(``null`` + step) for each
    step.

    Steps have one sign and rise in size. ``log_ratios`` are the running sums, one a step.
    """

    null: float
    steps: tuple[float, ...]
    log_ratios: tuple[float, ...] = ()

    @property
    def log_evidence(self) -> float:
        """The natural logarithm of the evidence against the null: the log of the mean ratio; 0 before any
        table.
        """
        return log_mean_exp(self.log_ratios) if self.log_ratios else 0.0

    def updated(self, table: Table) -> LikelihoodRatio:
        """With one more window. A table whose margins fix the count changes nothing."""
        if not table.informative:
            return self
        rises = normaliser_rises(table, self.null, self.steps)
        before = self.log_ratios or (0.0,) * len(self.steps)
        after = (
            total + table.canary_events * step - rise
            for total, step, rise in zip(before, self.steps, rises, strict=True)
        )
        return replace(self, log_ratios=tuple(after))


def normaliser_rises(table: Table, null: float, steps: Sequence[float]) -> list[float]:
    """A(null + step) - A(null) for each step: by the exact sum when it is short, else by integrating the
    mean.

    dA/du is the mean of the distribution, so the difference is its integral (Simpson, panels of at most
    0.25). Against the exact sum the error of one table is below 0.01.
    """
    low = max(0, table.events - table.stable)
    high = min(table.canary, table.events)
    if high - low < _EXACT_TERMS:
        weights = _log_weights(table, low, high)
        base = _log_sum_exp([w + null * k for k, w in enumerate(weights)])
        return [
            _log_sum_exp([w + (null + step) * k for k, w in enumerate(weights)]) - base + step * low
            for step in steps
        ]
    rises, total = [], 0.0
    for start, end in pairwise((0.0, *steps)):
        total += _integral_of_mean(table, null + start, null + end)
        rises.append(total)
    return rises


def alone_log_evidence(requests: int, events: int, share: float, steps: Sequence[float]) -> float:
    """Log evidence of one version's counts against "each request is an event with probability ``share``".

    Steps above 0: against a share of at most ``share``; below 0: of at least it. The ratio of an
    alternative with the odds of ``share`` times e^g is  events * g - requests * ln(1 + share (e^g - 1)).
    """
    return log_mean_exp([events * g - requests * math.log1p(share * math.expm1(g)) for g in steps])


def alone_lower_bound(requests: int, events: int, log_limit: float) -> float:
    """The largest share that the counts still refute from above with evidence e^``log_limit``; 0 if none."""
    if not events:
        return 0.0
    low, high = 0.0, events / requests
    for _ in range(50):
        middle = (low + high) / 2
        if alone_log_evidence(requests, events, middle, ALONE) >= log_limit:
            low = middle
        else:
            high = middle
    return low


def log_mean_exp(values: Sequence[float]) -> float:
    """ln of the mean of e^v, without overflow."""
    return _log_sum_exp(values) - math.log(len(values))


def _log_sum_exp(values: Sequence[float]) -> float:
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


def _integral_of_mean(table: Table, start: float, end: float) -> float:
    panels = math.ceil(abs(end - start) / _PANEL)
    width = (end - start) / panels
    total = 0.0
    for i in range(panels):
        left = start + i * width
        total += _mean(table, left) + 4 * _mean(table, left + width / 2) + _mean(table, left + width)
    return total * width / 6


def _mean(table: Table, u: float) -> float:
    """The mean at odds ratio e^u: Cornfield's quadratic, corrected once by its own variance.

    With psi = e^u the weights give E[k (n_b - E + k)] = psi E[(n_c - k)(E - k)]; putting k = mean + noise
    turns that into a quadratic in the mean whose constant term carries (psi - 1) times the variance.
    """
    n_c, n_b, events = table.canary, table.stable, table.events
    psi = math.exp(u)
    a, b, c = psi - 1, -(psi * (n_c + events) + n_b - events), psi * n_c * events
    mean = _small_root(a, b, c)
    cells = (mean, n_c - mean, events - mean, n_b - events + mean)
    if min(cells) <= 0:
        return mean
    total = n_c + n_b
    variance = total / (total - 1) / sum(1 / cell for cell in cells)
    return _small_root(a, b, c + a * variance)


def _small_root(a: float, b: float, c: float) -> float:
    return 2 * c / (-b + math.sqrt(b * b - 4 * a * c))
