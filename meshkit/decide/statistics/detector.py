"""Detect slow leaks after a promotion, while the stable version keeps a small share of the traffic.

The running product of likelihood ratios accumulates evidence from good hours and reacts slowly to their end.
The Shiryaev-Roberts detector effectively restarts at every look: with the same ratios, folded every PERIOD_S,

 R <- (1 + R) * ratio

``R - looks`` is a supermartingale while the canary is not worse, so P(alarm within n looks) <= n / ALARM, and
the mean time between false alarms is at least ALARM looks, however long one watches.
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

Ratios = Sequence[Sequence[float]]
"""Running log likelihood ratios: one list for each kind of event (errors first), one value a step."""


@dataclass(frozen=True)
class LeakDetector:
    """``sums`` are ln R for each kind and step; ``marks`` are the ratios at the last fold."""

    sums: tuple[tuple[float, ...], ...] = ()
    marks: tuple[tuple[float, ...], ...] = ()
    folded_s: float | None = None

    def due(self, now_s: float) -> bool:
        """Whether it is time to fold."""
        return self.folded_s is None or now_s >= self.folded_s + PERIOD_S

    def folded(self, ratios: Ratios, now_s: float) -> LeakDetector:
        """With the tables since the last time. The first time only takes the marks."""
        marks = tuple(tuple(kind) for kind in ratios)
        if self.folded_s is None:
            return LeakDetector(tuple((-math.inf,) * len(kind) for kind in marks), marks, now_s)
        sums = tuple(
            tuple(
                log_sum_exp((0.0, total)) + now - before
                for total, now, before in zip(totals, kind, mark, strict=True)
            )
            for totals, kind, mark in zip(self.sums, marks, self.marks, strict=True)
        )
        return LeakDetector(sums, marks, now_s)

    @property
    def log_sum(self) -> float:
        """ln of the mean R: half from errors, half from the mean over latency edges."""
        if not self.sums or self.sums[0][0] == -math.inf:
            return -math.inf
        means = [log_mean_exp(kind) for kind in self.sums]
        if len(means) == 1:
            return means[0]
        return log_mean_exp((means[0], log_mean_exp(means[1:])))
