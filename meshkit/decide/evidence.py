"""All evidence about one release, folded look by look: harm, margins, and what the canary does once it is
alone.

The three parts and their error rates (alpha = 1 - confidence of the release):

- *harm*: half the e-process of errors, half the mean over all watched latency edges, each against an odds
  ratio of at most TOLERANCE. A mean of e-processes is one, so a canary that is not worse is rolled back
  with P <= alpha.
- *margins*: errors and each of p50, p90, p99 against "at least as bad as the margin"; all must be refuted,
  so none needs a correction. Errors have two ways with alpha/2 each: an odds ratio below ERROR_ODDS, or the
  canary's own count against (lower bound of stable + error_points), with alpha/4 for each of the two
  bounds. That second way pools counts, so it uses the present step only, where the share is constant.
- *alone*: at 100 % nothing runs beside the canary; its counts are held against the share of events that the
  margins would have allowed over stable's. This sees only gross decay and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshkit.decide.baseline import MARGIN_QUANTILES, Baseline
from meshkit.decide.looks import ArmLook, Look
from meshkit.decide.sequential import (
    ALONE,
    BETTER,
    WORSE,
    LikelihoodRatio,
    Table,
    alone_log_evidence,
    alone_lower_bound,
    log_mean_exp,
)

if TYPE_CHECKING:
    from meshkit.intent.release import Margins

TOLERANCE = 1.05
"""Odds ratio that counts as not worse: about 2 % slower for usual latencies."""
ERROR_ODDS = 1.5
"""Odds ratio of failing that must be refuted where errors are frequent enough to compare."""


@dataclass(frozen=True)
class LatencyMargin:
    """The margin of one quantile: at ``edge_ms`` (index ``edge`` of the watched ones) the odds stay below
    the null's.
    """

    quantile: str
    percent: float
    edge: int
    edge_ms: float
    ratio: LikelihoodRatio

    @property
    def odds(self) -> float:
        """Evidence, as odds against 1, that the canary stays within the margin."""
        return _exp(self.ratio.log_evidence)


@dataclass(frozen=True)
class Evidence:
    """What is known after some looks. ``stable`` and ``canary`` are totals since the first weight,
    ``*_step`` totals of the present step."""

    edges_ms: tuple[float, ...]
    harm_errors: LikelihoodRatio
    harm_slower: tuple[LikelihoodRatio, ...]
    margin_errors: LikelihoodRatio
    margin_slower: tuple[LatencyMargin, ...]
    stable: ArmLook
    canary: ArmLook
    stable_step: ArmLook
    canary_step: ArmLook
    step: int = -1
    canary_now: int = 0
    judged_step: int = 0
    since_s: float = 0.0
    until_s: float = 0.0

    @classmethod
    def start(cls, baseline: Baseline, margins: Margins) -> Evidence:
        """Before the first look. Freezes the watched edges and what each margin means there."""
        edges = baseline.edges_ms
        worse = LikelihoodRatio(math.log(TOLERANCE), WORSE)
        nothing = ArmLook(slower=(0,) * len(edges))
        return cls(
            edges_ms=edges,
            harm_errors=worse,
            harm_slower=(worse,) * len(edges),
            margin_errors=LikelihoodRatio(math.log(ERROR_ODDS), BETTER),
            margin_slower=_latency_margins(baseline, margins),
            stable=nothing,
            canary=nothing,
            stable_step=nothing,
            canary_step=nothing,
        )

    def updated(self, look: Look) -> Evidence:
        """With one more look. Looks before the first weight change nothing; latencies of a warming look do
        not count.
        """
        if look.step < 0:
            return self
        new_step = look.step != self.step
        after = replace(
            self,
            step=look.step,
            canary_now=look.canary.requests,
            since_s=self.since_s or look.start_s,
            until_s=look.end_s,
            harm_errors=self.harm_errors.updated(_failures(look)),
            margin_errors=self.margin_errors.updated(_failures(look)),
            stable=self.stable + look.stable,
            canary=self.canary + look.canary,
            stable_step=look.stable if new_step else self.stable_step + look.stable,
            canary_step=look.canary if new_step else self.canary_step + look.canary,
        )
        judged_before = 0 if new_step else self.judged_step
        if look.warming:
            return replace(after, judged_step=judged_before)
        return replace(
            after,
            judged_step=judged_before + look.canary.requests,
            harm_slower=tuple(r.updated(_slower(look, i)) for i, r in enumerate(self.harm_slower)),
            margin_slower=tuple(
                replace(m, ratio=m.ratio.updated(_slower(look, m.edge))) for m in self.margin_slower
            ),
        )

    @property
    def harm(self) -> float:
        """Evidence that the canary is worse, as odds against 1."""
        parts = [self.harm_errors.log_evidence]
        if self.harm_slower:
            parts.append(log_mean_exp([r.log_evidence for r in self.harm_slower]))
        return _exp(log_mean_exp(parts))

    @property
    def worst_edge(self) -> int | None:
        """The index of the watched edge with the strongest evidence of harm, None without edges."""
        edges = range(len(self.harm_slower))
        return max(edges, key=lambda i: self.harm_slower[i].log_evidence, default=None)

    def errors_within(self, error_points: float, alpha: float) -> float:
        """Evidence that errors are within the margin, as odds; the limit is 2/alpha."""
        by_odds = _exp(self.margin_errors.log_evidence)
        if not (self.canary_step.requests and self.stable_step.requests):
            return by_odds
        floor = alone_lower_bound(self.stable_step.requests, self.stable_step.errors, math.log(4 / alpha))
        share = min(floor + error_points / 100, 1 - 1e-9)
        alone = alone_log_evidence(
            self.canary_step.requests, self.canary_step.errors, share, [-g for g in ALONE]
        )
        return max(by_odds, _exp(alone) / 2)

    def alone_harm(self, error_points: float) -> float:
        """Evidence that the canary, now alone, fails or is slow more often than its margins over stable
        allowed.
        """
        fails = _share(self.stable.errors, self.stable.requests) + error_points / 100
        parts = [_alone(self.canary_step.requests, self.canary_step.errors, fails)]
        for margin in self.margin_slower:
            usual = _share(self.stable.slower[margin.edge], self.stable.timed)
            odds = usual / (1 - usual) * math.exp(margin.ratio.null)
            parts.append(
                _alone(self.canary_step.timed, self.canary_step.slower[margin.edge], odds / (1 + odds))
            )
        return _exp(log_mean_exp(parts))


def _latency_margins(baseline: Baseline, margins: Margins) -> tuple[LatencyMargin, ...]:
    if not baseline.requests:
        return ()
    percents = {"p50": margins.p50_percent, "p90": margins.p90_percent, "p99": margins.p99_percent}
    found = []
    for name, quantile in MARGIN_QUANTILES:
        edge_ms = baseline.margin_edge_ms(quantile)
        null = baseline.margin_log_odds(edge_ms, percents[name])
        # The alternative "no difference at all" lies exactly ``null`` below the margin.
        steps = tuple(sorted({*BETTER, -null} if null > 0 else BETTER, reverse=True))
        ratio = LikelihoodRatio(null, steps)
        found.append(LatencyMargin(name, percents[name], baseline.edges_ms.index(edge_ms), edge_ms, ratio))
    return tuple(found)


def _failures(look: Look) -> Table:
    return Table(look.canary.requests, look.canary.errors, look.stable.requests, look.stable.errors)


def _slower(look: Look, edge: int) -> Table:
    return Table(look.canary.timed, look.canary.slower[edge], look.stable.timed, look.stable.slower[edge])


def _share(events: int, requests: int) -> float:
    """A share that is never 0 or 1: half an event is added to either side."""
    return (events + 0.5) / (requests + 1)


def _alone(requests: int, events: int, share: float) -> float:
    return alone_log_evidence(requests, events, min(share, 1 - 1e-9), ALONE) if requests else 0.0


def _exp(log_value: float) -> float:
    """e^x, at most 1e300: evidence is read by people, not multiplied further."""
    return math.exp(min(log_value, 690.0))
