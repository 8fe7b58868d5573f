"""All evidence about one release, accumulated window by window: harm, margins, slow leaks, and gross decay.

Comparisons use the likelihoods of thresholds.py. Errors have a second test for their margin, for services
that hardly ever fail: the canary's own count against (lower bound of stable + error_points), with alpha/2 for
either test and alpha/4 for each of the two bounds. That test pools counts, so it uses only the current step,
where the share is constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.statistics.detector import LeakDetector
from meshkit.decide.statistics.objective import Objective, Window
from meshkit.decide.statistics.sequential import (
    ALONE,
    BETTER,
    WORSE,
    Likelihood,
    Table,
    alone_log_evidence,
    alone_lower_bound,
    log_mean_exp,
    log_sum_exp,
)
from meshkit.decide.thresholds import GROSS_PERCENT, LatencyMargin, Yardstick


@dataclass(frozen=True)
class Evidence:
    """The accumulated evidence after some sample windows.

    ``stable`` and ``canary`` are totals since the first weight, ``*_step`` are totals of the current step.
    """

    yardstick: Yardstick
    errors: Likelihood
    slower: tuple[Likelihood, ...]
    objective_errors: Objective | None
    objective_slower: Objective | None
    stable: ArmWindow
    canary: ArmWindow
    stable_step: ArmWindow
    canary_step: ArmWindow
    detector: LeakDetector = field(default_factory=LeakDetector)
    step: int = -1
    canary_now: int = 0
    judged_step: int = 0
    since_s: float = 0.0
    until_s: float = 0.0
    step_since_s: float = 0.0

    @classmethod
    def start(cls, yardstick: Yardstick) -> Evidence:
        """The evidence before the first sample window."""
        nothing = ArmWindow(slower=(0,) * len(yardstick.edges_ms))
        return cls(
            yardstick=yardstick,
            errors=yardstick.of_errors(),
            slower=yardstick.of_slower(),
            objective_errors=yardstick.objective_errors,
            objective_slower=yardstick.objective_slower,
            stable=nothing,
            canary=nothing,
            stable_step=nothing,
            canary_step=nothing,
        )

    def updated(self, look: SampleWindow) -> Evidence:
        """Return the evidence with one more sample window.

        Windows before the first weight change nothing; latencies of a warming window do not count.
        """
        if look.step < 0:
            return self
        new_step = look.step != self.step
        judged_before = 0 if new_step else self.judged_step
        after = replace(
            self,
            step=look.step,
            canary_now=look.canary.requests,
            since_s=self.since_s or look.start_s,
            until_s=look.end_s,
            step_since_s=look.start_s if new_step else self.step_since_s,
            errors=self.errors.updated(_failures(look)),
            objective_errors=_held_to(self.objective_errors, look, None),
            objective_slower=_held_to(self.objective_slower, look, self.yardstick.slow_edge),
            stable=self.stable + look.stable,
            canary=self.canary + look.canary,
            stable_step=look.stable if new_step else self.stable_step + look.stable,
            canary_step=look.canary if new_step else self.canary_step + look.canary,
            judged_step=judged_before,
        )
        if not look.warming:
            after = replace(
                after,
                judged_step=judged_before + look.canary.requests,
                slower=tuple(
                    likelihood.updated(_slower(look, i)) for i, likelihood in enumerate(self.slower)
                ),
            )
        return after._folded() if self.detector.due(look.end_s) else after

    @property
    def compared_s(self) -> float:
        """How long both versions have been compared, in seconds."""
        return self.until_s - self.since_s

    @property
    def log_harm_errors(self) -> float:
        """Log evidence that the canary fails more often than stable."""
        return self.errors.log_evidence(self.yardstick.tolerance_errors, WORSE)

    @property
    def log_harm_slower(self) -> tuple[float, ...]:
        """Log evidence at each watched edge that the canary is slower than stable."""
        tolerances = self.yardstick.tolerance_slower
        return tuple(
            likelihood.log_evidence(u, WORSE) for likelihood, u in zip(self.slower, tolerances, strict=True)
        )

    @property
    def harm_parts(self) -> dict[str, float]:
        """The weighted log evidence of each part of harm; the largest names the cause."""
        weights, slower = self.yardstick.weights, self.log_harm_slower
        parts = {"errors": (weights.errors, self.log_harm_errors)}
        if slower:
            parts["slower"] = (weights.slower, log_mean_exp(slower))
        if self.objective_errors:
            parts["objective_errors"] = (weights.objective_errors, self.objective_errors.log_evidence)
        if self.objective_slower:
            parts["objective_slower"] = (weights.objective_slower, self.objective_slower.log_evidence)
        return {name: math.log(weight) + value for name, (weight, value) in parts.items()}

    @property
    def harm(self) -> float:
        """The evidence of harm as odds against 1.

        Harm means that the canary is worse than stable, or breaks an objective that stable keeps.
        """
        return exp(log_sum_exp(list(self.harm_parts.values())))

    @property
    def worst_edge(self) -> int | None:
        """The index of the watched edge with the strongest evidence of harm, None without edges."""
        log_harm = self.log_harm_slower
        return max(range(len(log_harm)), key=lambda i: log_harm[i], default=None)

    @property
    def leak(self) -> float:
        """The slow-leak detector's sum, which must stay below ALARM."""
        return exp(self.detector.log_sum)

    @property
    def shared_cause(self) -> str:
        """The objective (``errors`` or ``slower``) that both versions break now; empty if none."""
        if self.objective_errors and self.objective_errors.shared:
            return "errors"
        return "slower" if self.objective_slower and self.objective_slower.shared else ""

    def within(self, margin: LatencyMargin) -> float:
        """Evidence, as odds against 1, that the canary stays within a margin of latency; 0 if refused."""
        if margin.refused:
            return 0.0
        return exp(self.slower[margin.edge].log_evidence(margin.null, margin.steps))

    def errors_within(self, error_points: float) -> float:
        """Evidence that errors are within the margin, as odds; the limit is 2/alpha."""
        null = self.yardstick.error_null
        by_odds = exp(self.errors.log_evidence(null, BETTER)) if null > 0 else 0.0
        stable, canary = self.stable_step, self.canary_step
        if not (canary.requests and stable.requests):
            return by_odds
        by_points = points_log_evidence(
            self.yardstick, error_points, (canary.requests, canary.errors), (stable.requests, stable.errors)
        )
        return max(by_odds, exp(by_points) / 2)

    def alone_parts(self, error_points: float) -> dict[str, float]:
        """The log evidence of each part of ``alone_harm``: ``errors`` and the quantiles of the margins.

        The canary is compared with stable's totals plus the margin of errors, or with latencies GROSS_PERCENT
        longer (or the margin, if wider).
        """
        fails = _share(self.stable.errors, self.stable.requests) + error_points / 100
        parts = {"errors": _alone(self.canary_step.requests, self.canary_step.errors, fails)}
        baseline = self.yardstick.baseline
        for margin in self.yardstick.margins:
            usual = _share(self.stable.slower[margin.edge], self.stable.timed)
            gross = baseline.margin_log_odds(margin.edge_ms, max(margin.percent, GROSS_PERCENT))
            odds = usual / (1 - usual) * math.exp(gross)
            slower = self.canary_step.slower[margin.edge]
            parts[margin.quantile] = _alone(self.canary_step.timed, slower, odds / (1 + odds))
        return parts

    def alone_harm(self, error_points: float) -> float:
        """The evidence, as odds against 1, that a canary without stable beside it decays grossly."""
        return exp(log_mean_exp(list(self.alone_parts(error_points).values())))

    def _folded(self) -> Evidence:
        yardstick = self.yardstick
        pairs = zip(self.slower, yardstick.tolerance_slower, strict=True)
        ratios = [self.errors.log_ratios(yardstick.tolerance_errors, WORSE)]
        ratios += [one.log_ratios(tolerance, WORSE) for one, tolerance in pairs]
        return replace(self, detector=self.detector.folded(ratios, self.until_s))


def points_log_evidence(
    yardstick: Yardstick, error_points: float, canary: tuple[float, float], stable: tuple[float, float]
) -> float:
    """Log evidence that the canary fails less often than stable's lower bound plus ``error_points``.

    ``stable`` and ``canary`` are (requests, errors). The spread of the pods is subtracted from the limit.
    """
    floor = alone_lower_bound(*stable, math.log(4 / yardstick.alpha))
    share = min(floor + error_points / 100, 1 - 1e-9)
    odds = share / (1 - share)
    if yardstick.baseline.noise:
        noise = yardstick.baseline.noise
        odds *= math.exp(-noise.tolerance(noise.sd_errors, yardstick.alpha))
    log_evidence = alone_log_evidence(*canary, odds / (1 + odds), [-g for g in ALONE])
    return log_evidence / yardstick.dispersion


def exp(log_value: float) -> float:
    """e^x, at most 1e300, because evidence is displayed and not multiplied further."""
    return math.exp(min(log_value, 690.0))


def _failures(look: SampleWindow) -> Table:
    return Table(look.canary.requests, look.canary.errors, look.stable.requests, look.stable.errors)


def _slower(look: SampleWindow, edge: int) -> Table:
    return Table(look.canary.timed, look.canary.slower[edge], look.stable.timed, look.stable.slower[edge])


def _held_to(objective: Objective | None, look: SampleWindow, edge: int | None) -> Objective | None:
    """Update an objective with one more window: failures, or requests slower than an edge."""
    if objective is None or (edge is not None and look.warming):
        return objective
    table = _failures(look) if edge is None else _slower(look, edge)
    return objective.updated(Window(look.start_s, look.end_s, *_counts(table)))


def _counts(table: Table) -> tuple[int, int, int, int]:
    return table.canary, table.canary_events, table.stable, table.stable_events


def _share(events: int, requests: int) -> float:
    """A share that is never 0 or 1: half an event is added to either side."""
    return (events + 0.5) / (requests + 1)


def _alone(requests: int, events: int, share: float) -> float:
    return alone_log_evidence(requests, events, min(share, 1 - 1e-9), ALONE) if requests else 0.0
