"""Test the canary alone against a declared share of bad requests, which works at low traffic.

A likelihood ratio of the canary's own counts against "at most ``share`` of requests are bad" is an e-process
for every canary that keeps the objective, whatever its rate does. It would also count failures that affect
both versions. So a window's counts wait until GATE_S after it, and count only if the stable version kept the
objective around it. The gate depends on the stable version only, so it cannot break the bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshkit.decide.statistics.sequential import ALONE, alone_log_evidence

GATE_S = 60.0
"""A shared cause is looked for this long before and after a window: at half a request a second a burst shows
itself in the stable version by one or two requests, and not always within 30 s (simulated:
docs/ideas/verdict.md).
"""
LEAST_BAD = 3
"""So many bad requests of the stable version are no chance, whatever number was expected."""
CHANCE = 0.05
"""Fewer are no chance either where a version that just keeps the objective would show them this rarely."""


class Window(NamedTuple):
    """One look's requests and bad ones of both versions."""

    start_s: float
    end_s: float
    canary: int
    canary_bad: int
    stable: int
    stable_bad: int


@dataclass(frozen=True)
class Objective:
    """The evidence against one objective: at most ``share`` of requests are bad.

    ``requests`` and ``bad`` are the canary's that count; ``recent`` windows are kept for the gate, those from
    ``admitted_until_s`` on wait before it.
    """

    share: float
    requests: int = 0
    bad: int = 0
    recent: tuple[Window, ...] = ()
    admitted_until_s: float = float("-inf")

    def updated(self, window: Window) -> Objective:
        """With one more look; windows that have waited long enough are counted or, if shared, dropped."""
        recent = (*self.recent, window)
        ripe = [w for w in recent if self.admitted_until_s < w.end_s <= window.end_s - GATE_S]
        counted = [w for w in ripe if not self._stable_breaks(_around(recent, w))]
        until_s = ripe[-1].end_s if ripe else self.admitted_until_s
        return replace(
            self,
            requests=self.requests + sum(w.canary for w in counted),
            bad=self.bad + sum(w.canary_bad for w in counted),
            recent=tuple(w for w in recent if w.end_s > until_s - GATE_S),
            admitted_until_s=until_s,
        )

    @property
    def log_evidence(self) -> float:
        """Log evidence that the canary breaks the objective."""
        return alone_log_evidence(self.requests, self.bad, self.share, ALONE)

    @property
    def shared(self) -> bool:
        """Whether both versions break the objective in the latest GATE_S."""
        if not self.recent:
            return False
        now = tuple(w for w in self.recent if w.end_s > self.recent[-1].end_s - GATE_S)
        canary, bad = sum(w.canary for w in now), sum(w.canary_bad for w in now)
        return self._stable_breaks(now) and bad > self.share * canary

    def _stable_breaks(self, windows: tuple[Window, ...]) -> bool:
        requests, bad = sum(w.stable for w in windows), sum(w.stable_bad for w in windows)
        return bad > self.share * requests and (
            bad >= LEAST_BAD or _as_many(requests, bad, self.share) <= CHANCE
        )


def _around(windows: tuple[Window, ...], middle: Window) -> tuple[Window, ...]:
    """The windows within GATE_S of one."""
    return tuple(
        w for w in windows if w.end_s >= middle.start_s - GATE_S and w.start_s <= middle.end_s + GATE_S
    )


def _as_many(requests: int, bad: int, share: float) -> float:
    """The chance of ``bad`` or more among ``requests`` that are bad with ``share`` each: a binomial tail."""
    fewer = (math.comb(requests, k) * share**k * (1 - share) ** (requests - k) for k in range(bad))
    return 1 - math.fsum(fewer)
