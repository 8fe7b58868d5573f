"""Detect slow leaks after a promotion, while the stable version keeps a small share of the traffic.

The running product of likelihood ratios accumulates evidence from good hours and reacts slowly to their end.
The Shiryaev-Roberts detector effectively restarts at every look: with the same ratios, folded every PERIOD_S,

 R <- (1 + R) * ratio

``R - looks`` is a supermartingale while the canary is not worse, so P(alarm within n looks) <= n / ALARM, and
the mean time between false alarms is at least ALARM looks, however long one watches.

A stable version that has little to do may be faster for it, all the time. Slowness counts as a leak only if
it has also grown within the watch: the log odds ratio of the latest half, quarter or eighth of the
information exceeds that of the time before by some standard deviations, over all edges together (GROWN), or
at one of them (GROWN_AT_ONE). As this is asked at every look, the limit rises with their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from meshkit.decide.statistics.sequential import log_mean_exp, log_sum_exp

PERIOD_S = 30.0
"""Time between two looks of the detector: shorter ones find no leak sooner."""
ALARM = 86_400.0
"""Looks between false alarms: 30 days of them."""

WATCHES_PER_FALSE_ALARM = 100
"""A shorter watch alarms sooner: falsely in at most one of so many watches."""
GROWN, GROWN_AT_ONE = 9.5, 18.0
"""The square of the limit in standard deviations, to which the logarithm of the number of looks is added. A
slowness that does not grow exceeds it at any of the looks of an hour (of a day) with a probability of 2.4 %
(3.5 %), and of 0.1 % (0.2 %) at one edge: from 40,000 (1,500) simulated random walks.
"""
_LATEST = (0.5, 0.75, 0.875)

Scores = Sequence[tuple[float, float]]
"""The canary's surplus of slow requests so far and its variance (the information): over all edges together,
then for each.
"""
Ratios = Sequence[Sequence[float]]
"""Running log likelihood ratios: one list for each kind of event (errors first), one value a step."""


@dataclass(frozen=True)
class LeakDetector:
    """``sums`` are ln R for each kind and step; ``marks`` are the ratios at the last fold, ``scores`` the
    running scores of slowness at every fold.
    """

    sums: tuple[tuple[float, ...], ...] = ()
    marks: tuple[tuple[float, ...], ...] = ()
    folded_s: float | None = None
    scores: tuple[tuple[tuple[float, float], ...], ...] = ()

    def due(self, now_s: float) -> bool:
        """Whether it is time to fold."""
        return self.folded_s is None or now_s >= self.folded_s + PERIOD_S

    def folded(self, ratios: Ratios, now_s: float, scores: Scores = ()) -> LeakDetector:
        """With the tables since the last time. The first time only takes the marks."""
        marks = tuple(tuple(kind) for kind in ratios)
        if self.folded_s is None:
            nothing = tuple((-math.inf,) * len(kind) for kind in marks)
            return LeakDetector(nothing, marks, now_s, (tuple(scores),))
        sums = tuple(
            tuple(
                log_sum_exp((0.0, total)) + now - before
                for total, now, before in zip(totals, kind, mark, strict=True)
            )
            for totals, kind, mark in zip(self.sums, marks, self.marks, strict=True)
        )
        return LeakDetector(sums, marks, now_s, (*self.scores, tuple(scores)))

    @property
    def log_leak(self) -> float:
        """ln of the mean R, in which slowness counts only where it has grown within the watch."""
        if not self.sums or self.sums[0][0] == -math.inf:
            return -math.inf
        errors, *slower = (log_mean_exp(kind) for kind in self.sums)
        if not slower:
            return errors
        every = self._grown(0, GROWN)
        grown = [
            mean if every or self._grown(1 + i, GROWN_AT_ONE) else -math.inf for i, mean in enumerate(slower)
        ]
        return log_mean_exp((errors, log_mean_exp(grown) if max(grown) > -math.inf else -math.inf))

    def _grown(self, kind: int, square: float) -> bool:
        """Whether the canary's slowness of one kind is greater now than earlier in the watch.

        ``square`` is GROWN or GROWN_AT_ONE.
        """
        deviations = math.sqrt(square + math.log(max(1, len(self.scores) - 1)))
        (first_s, first_v), (last_s, last_v) = (found[kind] for found in (self.scores[0], self.scores[-1]))
        for part in _LATEST:
            middle_s, middle_v = next(
                found[kind]
                for found in reversed(self.scores)
                if found[kind][1] <= first_v + part * (last_v - first_v)
            )
            before, after = middle_v - first_v, last_v - middle_v
            if before <= 0 or after <= 0:
                continue
            growth = (last_s - middle_s) / after - (middle_s - first_s) / before
            if growth >= deviations * math.sqrt(1 / before + 1 / after):
                return True
        return False
