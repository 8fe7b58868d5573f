"""Test one version by itself without the worst moments of its counts, so that no burst of a second decides.

Requests that fail or are slow together, in a second in which a machine or a dependency stalls, are one event.
A binomial test counts each of them. Beside a stable version the stall affects both and cancels; a version by
itself is tested on what remains without the two adjacent moments that speak most against it, because a stall
of a second reaches into two. Up to MOST_BURSTS bursts that are over are left out as well: one or two moments
between moments without harm, with many more events than usual and than at all other times. Harm that goes on
is no burst, as it is not over. The evidence is the smallest of these tests and the one of all counts, so the
bound on false alarms holds as before. Harm that goes on is found two moments later.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshkit.decide.statistics.sequential import ALONE, alone_log_evidence

MOMENT_S = 1.0
"""A moment lasts at least so long, and at least one sample window."""
MOST_BURSTS = 3
"""Bursts that are left out; a version that stalls again and again is worse."""
BURST_EVENTS, BURST_SHARE, BURST_TIMES = 5, 0.04, 4.0
"""A burst has so many events more than usual, so large a share of its requests more, and so many times the
share of all other times.
"""
CALM = 1.0
"""A moment with at most this log evidence shows no harm."""
_LARGEST_SHARE = 1 - 1e-9

Counts = tuple[int, int]
"""Requests, and events among them."""


@dataclass(frozen=True)
class Alone:
    """The counts of one version: ``all``, of the latest moments, and of the worst two adjacent ones.

    ``past`` are up to four moments that are over, the latest last. The present one, ``now``, has lasted
    ``now_s`` seconds so far. ``bursts`` are those that are over, the largest first.
    """

    all: Counts = (0, 0)
    past: tuple[Counts, ...] = ()
    now: Counts = (0, 0)
    now_s: float = 0.0
    worst: Counts = (0, 0)
    bursts: tuple[Counts, ...] = ()

    def updated(self, counts: Counts, seconds: float, share: float) -> Alone:
        """With one more window; ``share`` is the usual share of events."""
        past, now, now_s, bursts = self.past, self.now, self.now_s, self.bursts
        if now_s >= MOMENT_S:
            past, now, now_s = (*past, now)[-4:], (0, 0), 0.0
            burst = _burst_before(past, share)
            if burst and self._stands_out(burst):
                bursts = tuple(sorted((*bursts, burst), key=lambda one: -one[1])[:MOST_BURSTS])
        now = _sum(now, counts)
        latest = _sum(past[-1], now) if past else now
        worse = _log_evidence(latest, share) > _log_evidence(self.worst, share)
        total = _sum(self.all, counts)
        return Alone(total, past, now, now_s + seconds, latest if worse else self.worst, bursts)

    def log_evidence(self, share: float) -> float:
        """Log evidence that the share of events exceeds ``share``, not only in bursts."""
        found = min(_log_evidence(self.all, share), _log_evidence(_less(self.all, self.worst), share))
        if not self.bursts:
            return found
        rest = _less(self.all, _sum(self.past[-1], self.now))
        for burst in self.bursts:
            rest = _less(rest, burst)
        return min(found, _log_evidence(rest, share))

    def _stands_out(self, burst: Counts) -> bool:
        """Whether a burst has a much larger share of events than the other times, other bursts left out."""
        rest = _less(self.all, burst)
        for other in self.bursts:
            rest = _less(rest, other)
        return burst[1] / burst[0] >= BURST_TIMES * (rest[1] + 0.5) / (rest[0] + 1)


def _burst_before(past: tuple[Counts, ...], share: float) -> Counts | None:
    """The burst that the latest of these moments has ended, if there is one."""
    calm = [_log_evidence(moment, share) <= CALM for moment in past]
    for length in (1, 2):
        first = len(past) - 1 - length
        if first < 0 or not calm[-1] or any(calm[first:-1]):
            continue
        if first > 0 and not calm[first - 1]:
            continue
        burst = past[first] if length == 1 else _sum(past[first], past[first + 1])
        more = burst[1] - share * burst[0]
        return burst if more >= max(BURST_EVENTS, BURST_SHARE * burst[0]) else None
    return None


def _less(one: Counts, other: Counts) -> Counts:
    return one[0] - other[0], one[1] - other[1]


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1]


def _log_evidence(counts: Counts, share: float) -> float:
    return alone_log_evidence(*counts, min(share, _LARGEST_SHARE), ALONE)
