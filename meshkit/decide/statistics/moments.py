"""Compare two versions without the worst moments of the canary, so that no stall of its pods decides.

A stall (garbage collection, a busy node, a cold cache) makes many requests of one version slow together.
Fisher's test counts each of them, so a good version that stalls once beside a stable one looks worse beyond
doubt. Evidence of slowness is therefore the smaller of two: of all windows, and without the two adjacent
moments that speak most against the canary, because a stall of a second reaches into two. A smaller ratio
keeps the bound on false alarms. Harm that goes on is found two moments later. Moments in which most requests
are slow are never left out, so a version that answers nothing in time is found at once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from meshkit.decide.statistics.bursts import BURST_EVENTS, BURST_SHARE, MOMENT_S, MOSTLY
from meshkit.decide.statistics.sequential import WORSE, Likelihood, Table

STANDS_OUT = 3.0
"""Log evidence from which on two moments stand out: chance and small harm hardly ever reach it."""
_NO_COUNTS = Table(0, 0, 0, 0)


@dataclass(frozen=True)
class Moment:
    """The counts of some adjacent windows, and their likelihood."""

    likelihood: Likelihood
    counts: Table

    def plus(self, other: Moment) -> Moment:
        """Both together."""
        return Moment(self.likelihood.plus(other.likelihood), self.counts + other.counts)

    @property
    def stalled(self) -> bool:
        """Whether slow requests of the canary, beyond stable's share, are enough for a stall of a second, but
        not most of its requests.
        """
        counts = self.counts
        usual = counts.stable_events / counts.stable if counts.stable else 0.0
        more = counts.canary_events - usual * counts.canary
        return max(BURST_EVENTS, BURST_SHARE * counts.canary) <= more < MOSTLY * counts.canary


@dataclass(frozen=True)
class Compared:
    """The likelihood of ``all`` windows, and of the ``worst`` two adjacent moments among them.

    The present moment, ``now``, has lasted ``now_s`` seconds so far; ``before`` is the one before it.
    ``null`` is the log odds ratio that counts as not worse.
    """

    null: float
    all: Likelihood
    worst: Likelihood
    before: Moment
    now: Moment
    now_s: float = 0.0

    @classmethod
    def start(cls, likelihood: Likelihood, null: float) -> Compared:
        """Before the first window; ``null`` and the steps WORSE above it must be points, if there are any."""
        nothing = Moment(likelihood, _NO_COUNTS)
        return cls(null, likelihood, likelihood, nothing, nothing)

    def updated(self, tables: Sequence[Table], seconds: float) -> Compared:
        """With one more window of so many seconds: one table, or one for each zone."""
        nothing = self.all.empty()
        if not nothing.points:
            return self
        likelihood = functools.reduce(Likelihood.updated, tables, nothing)
        window = Moment(likelihood, sum(tables, _NO_COUNTS))
        over = self.now_s >= MOMENT_S
        before, now, now_s = (
            (self.now, Moment(nothing, _NO_COUNTS), 0.0) if over else (self.before, self.now, self.now_s)
        )
        now = now.plus(window)
        latest = before.plus(now)
        worst = latest.likelihood if latest.stalled and self._is_worst(latest) else self.worst
        return Compared(self.null, self.all.plus(window.likelihood), worst, before, now, now_s + seconds)

    def log_evidence(self, null: float) -> float:
        """Log evidence that the odds ratio is above e^``null``, not only in the worst two moments."""
        return min(self.log_evidence_of_all(null), self.log_evidence_of_rest(null))

    def log_evidence_of_all(self, null: float) -> float:
        """Log evidence of all windows that the odds ratio is above e^``null``."""
        return self.all.log_evidence(null, WORSE)

    def log_evidence_of_rest(self, null: float) -> float:
        """Log evidence that the odds ratio is above e^``null``, without the worst two moments."""
        return self.all.minus(self.worst).log_evidence(null, WORSE)

    def _is_worst(self, latest: Moment) -> bool:
        """Whether two moments stand out, and more than the worst ones before them."""
        return self._against(latest.likelihood) > max(STANDS_OUT, self._against(self.worst))

    def _against(self, likelihood: Likelihood) -> float:
        return likelihood.log_evidence(self.null, WORSE)
