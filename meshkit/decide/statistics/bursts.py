"""Test one version by itself without the worst moments of its counts, so that no burst of a second decides.

Requests that fail or are slow together, in a second in which a machine or a dependency stalls, are one event.
A binomial test counts each of them. Beside a stable version the stall affects both and cancels; a version by
itself is tested on what remains without the two adjacent moments that speak most against it, because a stall
of a second reaches into two. The evidence is the smaller one of that test and the one of all counts, so the
bound on false alarms holds as before. Harm that goes on is found two moments later.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshkit.decide.statistics.sequential import ALONE, alone_log_evidence

MOMENT_S = 1.0
"""A moment lasts at least so long, and at least one sample window."""
_LARGEST_SHARE = 1 - 1e-9

Counts = tuple[int, int]
"""Requests, and events among them."""


@dataclass(frozen=True)
class Alone:
    """The counts of one version: ``all``, of the two latest moments, and of the worst two adjacent ones.

    The latest moment, ``now``, has lasted ``now_s`` seconds so far.
    """

    all: Counts = (0, 0)
    before: Counts = (0, 0)
    now: Counts = (0, 0)
    now_s: float = 0.0
    worst: Counts = (0, 0)

    def updated(self, counts: Counts, seconds: float, share: float) -> Alone:
        """With one more window; ``share`` is the usual share of events."""
        before, now, now_s = self.before, self.now, self.now_s
        if now_s >= MOMENT_S:
            before, now, now_s = now, (0, 0), 0.0
        now = _sum(now, counts)
        latest = _sum(before, now)
        worse = _log_evidence(latest, share) > _log_evidence(self.worst, share)
        return Alone(_sum(self.all, counts), before, now, now_s + seconds, latest if worse else self.worst)

    def log_evidence(self, share: float) -> float:
        """Log evidence that the share of events exceeds ``share``, not only in a burst."""
        rest = self.all[0] - self.worst[0], self.all[1] - self.worst[1]
        return min(_log_evidence(self.all, share), _log_evidence(rest, share))


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1]


def _log_evidence(counts: Counts, share: float) -> float:
    return alone_log_evidence(*counts, min(share, _LARGEST_SHARE), ALONE)
