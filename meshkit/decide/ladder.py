"""The ladder of steps: weights, names, the next step, and agreement of the measured share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshkit.decide.formatting import percent

if TYPE_CHECKING:
    from meshkit.intent.release import Release

AGREEMENT_SD = 3.3
"""A measured share agrees within this many standard deviations of a fair split (two-sided 0.1 %) ..."""
AGREEMENT_POINTS = 0.5
"""... and this many percentage points besides: requests in flight while the weights changed."""
_AGREEMENT_WINDOWS = (1, 5)


def weights(share: float) -> tuple[int, int]:
    """Convert a canary share in percent to integer weights (stable, canary).

    They add up to 100, or to 1000 for a share with a decimal.
    """
    tenths = round(share * 10)
    if tenths % 10:
        return 1000 - tenths, tenths
    return 100 - tenths // 10, tenths // 10


def share_percent(stable: int, canary: int) -> float:
    """The canary's share in percent of two weights; 0 if both are 0."""
    total = stable + canary
    return 100 * canary / total if total else 0.0


def stage(release: Release, step: int) -> str:
    """The name of a step of the ladder: ``5 %``, or what brings the canary its requests at 0 %."""
    lead = release.lead_at(step)
    if lead == "mirror" and release.mirror:
        return f"mirror {percent(release.mirror.percent)}"
    return lead or percent(release.ladder[step])


def next_step(steps: Sequence[float], step: int) -> int | None:
    """The index of the step after ``step`` (-1 is before the first), or None on the last."""
    return step + 1 if step + 1 < len(steps) else None


def share_agrees(
    requests: int,
    canary_requests: int,
    asked_percent: float,
    before_percent: float,
    *,
    or_more: bool = False,
) -> bool:
    """Whether the counts of both versions fit the requested share better than the previous one.

    ``requests`` are those of both versions together. Without requests nothing agrees. ``or_more``: a larger
    share agrees too, as some requests go to the canary whatever the weights.
    """
    if not requests:
        return False
    asked = asked_percent / 100
    deviation = canary_requests - requests * asked
    if or_more and deviation > 0:
        return True
    deviation = abs(deviation)
    allowed = AGREEMENT_SD * math.sqrt(requests * asked * (1 - asked)) + requests * AGREEMENT_POINTS / 100
    if deviation > allowed:
        return False
    if asked_percent == before_percent:
        return True
    return _log_likelihood(requests, canary_requests, asked) > _log_likelihood(
        requests, canary_requests, before_percent / 100
    )


def agreeing(
    counts: Sequence[tuple[int, int]],
    asked_percent: float,
    before_percent: float,
    *,
    or_more: bool = False,
) -> tuple[int, int] | None:
    """The requests of the latest windows, and the canary's, that fit the requested share; None if none do.

    ``counts`` has both numbers of each window. The last window is asked first, then the last five, then all.
    """
    for length in (*_AGREEMENT_WINDOWS, len(counts)):
        requests, canary = (sum(each[i] for each in counts[-length:]) for i in (0, 1))
        if share_agrees(requests, canary, asked_percent, before_percent, or_more=or_more):
            return requests, canary
    return None


def share_beside(requests: int, canary_requests: int, weighted_percent: float) -> float:
    """The canary's share, in percent of all, of requests that other rules send to it whatever the weights.

    The counts of both versions are from a time with ``weighted_percent``; where they fit it, there are none.
    """
    if not requests or share_agrees(requests, canary_requests, weighted_percent, weighted_percent):
        return 0.0
    weighted = weighted_percent / 100
    return max(0.0, 100 * (canary_requests / requests - weighted) / (1 - weighted))


def whole_share(weighted_percent: float, beside_percent: float) -> float:
    """The canary's share of all requests in percent, where it has ``beside_percent`` whatever the weights."""
    return beside_percent + (100 - beside_percent) * weighted_percent / 100


def _log_likelihood(requests: int, events: int, share: float) -> float:
    """The log likelihood of a binomial count, up to a constant; shares are limited to [1e-6, 1 - 1e-6]."""
    share = min(max(share, 1e-6), 1 - 1e-6)
    return events * math.log(share) + (requests - events) * math.log1p(-share)
