"""Charge failed requests that reached no pod, and carry no version, to the version that they were meant for.

They are those of one version alone if the other has ready pods and it has none, or if the counts of a run of
windows say so at ``SURE`` : 1, because with them its share is the one that was asked for. Else both versions
lose alike: the canary is charged by the share that it was given, or by the one that reached its pods if that
is smaller. No version is charged with more requests than its share can be, so a route that fails for all is
never one version's fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from meshkit.decide.ladder import AGREEMENT_POINTS, AGREEMENT_SD
from meshkit.facts import ArmCounts, Samples

SURE = 1000.0
"""The odds at which counts say to which version the requests belong: wrong in one of so many runs at most."""


class ReadyPods(NamedTuple):
    """How many pods of each version are ready; None: not known."""

    stable: int | None = None
    canary: int | None = None


class LogLikelihoods(NamedTuple):
    """How likely the counts of a run of windows are, by who lost the requests (natural logarithms).

    ``both``: both versions alike, at the share that was asked for; ``other_share``: alike, at a share of
    which nothing is known, for example because the proxies do not have the new weights yet.
    """

    canary: float = 0.0
    stable: float = 0.0
    both: float = 0.0
    other_share: float = 0.0


@dataclass(frozen=True)
class Attribution:
    """What a run of windows with such requests, all at one share of the canary, says about them.

    ``owed`` is the part of a request that rounding has not yet charged to the canary.
    """

    percent: float = 0.0
    run: LogLikelihoods = field(default_factory=LogLikelihoods)
    owed: float = 0.0

    def charged(
        self,
        samples: Samples,
        versions: tuple[str, str],
        percent: float | None,
        ready: Callable[[], ReadyPods] = ReadyPods,
    ) -> tuple[Attribution, Samples]:
        """Return the samples with such requests in the counts of ``versions`` (stable, canary).

        ``percent`` is the canary's share in force, None where a cohort is it, of which nothing is known.
        ``ready`` is called only if there are any.
        """
        lost = max(0, samples.unreached.get("", 0))
        if not lost:
            return replace(self, run=LogLikelihoods()), samples
        stable, canary = (samples.arms[version].requests for version in versions)
        after = replace(self, percent=percent or 0.0)
        if percent is None:
            of_canary = _of_cohort(stable, canary, lost, ready())
        elif 0 < percent < 100:
            earlier = self.run if percent == self.percent else LogLikelihoods()
            of_window = _log_likelihoods(stable, canary, lost, percent / 100)
            after = replace(after, run=LogLikelihoods(*map(sum, zip(earlier, of_window, strict=True))))
            after, of_canary = after._split(stable, canary, lost, ready)
        else:
            of_canary = lost if percent >= 100 else 0
        charges = dict(zip(versions, (lost - of_canary, of_canary), strict=True))
        arms = {**samples.arms, **{each: samples.arms[each] + ArmCounts(n, n) for each, n in charges.items()}}
        named = {version: samples.unreached.get(version, 0) + n for version, n in charges.items()}
        return after, replace(samples, arms=arms, unreached=named)

    def _split(
        self, stable: int, canary: int, lost: int, ready: Callable[[], ReadyPods]
    ) -> tuple[Attribution, int]:
        """How many of the window's ``lost`` requests are the canary's."""
        share, requests, pods = self.percent / 100, stable + canary + lost, ready()
        run, sure = self.run, math.log(SURE)
        alike = max(run.both, run.other_share)
        if (pods.canary == 0 and pods.stable) or run.canary - max(run.stable, alike) >= sure:
            return self, min(lost, max(0, _most(requests, share) - canary))
        if (pods.stable == 0 and pods.canary) or run.stable - max(run.canary, alike) >= sure:
            return self, lost - min(lost, max(0, _most(requests, 1 - share) - stable))
        reached = stable + canary
        due = round(self.owed + lost * min(share, canary / reached if reached else share), 9)
        of_canary = min(lost, int(due))
        return replace(self, owed=due - of_canary), of_canary


def _of_cohort(stable: int, canary: int, lost: int, pods: ReadyPods) -> int:
    """How many of a window's ``lost`` requests are the canary's, if its share is not known.

    All, if it alone has no ready pods; else by the share that reached its pods.
    """
    if pods.canary == 0 and pods.stable:
        return lost
    if pods.stable == 0 and pods.canary:
        return 0
    reached = stable + canary
    return round(lost * canary / reached) if reached else 0


def _log_likelihoods(stable: int, canary: int, lost: int, share: float) -> LogLikelihoods:
    requests, reached = stable + canary + lost, stable + canary
    return LogLikelihoods(
        canary=_log_binomial(canary + lost, requests, share),
        stable=_log_binomial(canary, requests, share),
        both=_log_binomial(canary, reached, share),
        other_share=-math.log(reached + 1),
    )


def _most(requests: int, share: float) -> int:
    """The most of these requests that a version with this share can have been given."""
    deviation = AGREEMENT_SD * math.sqrt(requests * share * (1 - share)) + requests * AGREEMENT_POINTS / 100
    return min(requests, math.floor(requests * share + deviation))


def _log_binomial(events: int, requests: int, share: float) -> float:
    others = requests - events
    ways = math.lgamma(requests + 1) - math.lgamma(events + 1) - math.lgamma(others + 1)
    return ways + events * math.log(share) + others * math.log1p(-share)
