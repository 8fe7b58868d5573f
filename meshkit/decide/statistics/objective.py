"""Test the canary alone against a declared share of bad requests, which works at low traffic.

A likelihood ratio of the canary's own counts against "at most ``share`` of requests are bad" is an e-process
for every canary that keeps the objective, whatever its rate does. It would also count failures that affect
both versions. So a window's counts wait until GATE_S after it, and count only if the stable version kept the
objective around it, and as long as all of its counts do not show that it breaks the objective. The gate
depends on the stable version only, so it cannot break the bound.

A stable version that has little to do may not show a stall of a second that all requests suffer. Of each
moment, no more bad requests count than a few, or than some times what the objective allows: failures of one
second are one event. Fewer events are less evidence, so this cannot break the bound either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from meshkit.decide.statistics.sequential import ALONE, alone_log_evidence

GATE_S = 60.0
"""A shared cause is looked for this long before and after a window: at half a request a second a burst shows
itself in the stable version by one or two requests, and not always within 30 s (simulated:
docs/ideas/verdict.md).
"""
LEAST_BAD = 3
"""So many bad requests of the stable version are no chance, whatever number was expected."""
MOMENT_S = 5.0
"""A moment lasts so long, or as long as a longer window."""
MOST_BAD, MOST_TIMES = 2, 4
"""Bad requests of one moment that count: so many, or so many times what the objective allows, if more."""
CHANCE = 0.05
"""Fewer are no chance either where a version that just keeps the objective would show them this rarely."""


class Moment(NamedTuple):
    """The canary's requests and bad ones since a time, in the moment that goes on."""

    start_s: float = float("-inf")
    requests: int = 0
    bad: int = 0


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

    ``requests`` and ``bad`` are the canary's that passed the gate; ``burst`` of the bad ones are left out, as
    more than a moment before the present one (``moment``) may count. ``stable`` are the stable version's
    requests and bad ones. ``recent`` windows are kept for the gate, those from ``admitted_until_s`` on wait
    before it.
    """

    share: float
    requests: int = 0
    bad: int = 0
    recent: tuple[Window, ...] = ()
    admitted_until_s: float = float("-inf")
    burst: int = 0
    moment: Moment = field(default_factory=Moment)
    stable: tuple[int, int] = (0, 0)

    def updated(self, window: Window) -> Objective:
        """With one more look; windows that have waited long enough are counted or, if shared, dropped."""
        recent = (*self.recent, window)
        ripe = [w for w in recent if self.admitted_until_s < w.end_s <= window.end_s - GATE_S]
        counted = [w for w in ripe if not self._stable_breaks(_around(recent, w))]
        until_s = ripe[-1].end_s if ripe else self.admitted_until_s
        burst, moment = self.burst, self.moment
        for w in counted:
            if w.end_s > moment.start_s + MOMENT_S:
                burst, moment = burst + self._left_out(moment), Moment(w.start_s)
            moment = Moment(moment.start_s, moment.requests + w.canary, moment.bad + w.canary_bad)
        return replace(
            self,
            requests=self.requests + sum(w.canary for w in counted),
            bad=self.bad + sum(w.canary_bad for w in counted),
            burst=burst,
            moment=moment,
            stable=(self.stable[0] + window.stable, self.stable[1] + window.stable_bad),
            recent=tuple(w for w in recent if w.end_s > until_s - GATE_S),
            admitted_until_s=until_s,
        )

    @property
    def log_evidence(self) -> float:
        """Log evidence that the canary breaks the objective; 0 where all of stable's counts show that too."""
        if alone_log_evidence(*self.stable, self.share, ALONE) >= -math.log(CHANCE):
            return 0.0
        bad = self.bad - self.burst - self._left_out(self.moment)
        return alone_log_evidence(self.requests, bad, self.share, ALONE)

    @property
    def shared(self) -> bool:
        """Whether both versions break the objective in the latest GATE_S."""
        if not self.recent:
            return False
        now = tuple(w for w in self.recent if w.end_s > self.recent[-1].end_s - GATE_S)
        canary, bad = sum(w.canary for w in now), sum(w.canary_bad for w in now)
        return self._stable_breaks(now) and bad > self.share * canary

    def _left_out(self, moment: Moment) -> int:
        """How many bad requests of a moment do not count."""
        most = max(MOST_BAD, math.ceil(MOST_TIMES * self.share * moment.requests))
        return max(0, moment.bad - most)

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
