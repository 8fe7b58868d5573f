"""All evidence about one release, accumulated window by window: harm, margins, slow leaks, and gross decay.

Comparisons use the likelihoods of thresholds.py. The margin of errors is in points, so it is tested on the
shares of both versions (statistics/points.py). That test and the one of each version by itself pool counts,
so they use only the current step, where the share of the traffic is constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from meshkit.decide.admission.possible import refused_window, went_back_s
from meshkit.decide.baseline import together_score
from meshkit.decide.margins import FIRST_TESTS, OTHER_PAIRS, EdgePair, LatencyMargin
from meshkit.decide.sample_windows import ArmWindow, SampleWindow, ZoneWindow
from meshkit.decide.statistics.bursts import Alone
from meshkit.decide.statistics.detector import LeakDetector
from meshkit.decide.statistics.moments import Compared
from meshkit.decide.statistics.objective import Objective, Window
from meshkit.decide.statistics.points import points_log_evidence
from meshkit.decide.statistics.sequential import (
    MARGIN_STEPS,
    WORSE,
    Likelihood,
    Table,
    alone_log_evidence,
    log_mean_exp,
    log_sum_exp,
)
from meshkit.decide.thresholds import GROSS_PERCENT, TOLERANCE, Yardstick

STALL_ODDS = 2.0
"""Odds against harm by which the other windows show that the worst moments were a stall."""


@dataclass(frozen=True)
class Evidence:
    """The accumulated evidence after some sample windows.

    ``stable`` and ``canary`` are totals since the first weight, ``*_step`` are totals of the current step (as
    long as the canary is given the same share, ``step_percent``),
    ``*_judged`` those of its windows whose latencies count.
    Latencies are counted in ``slower`` until the promotion, and in ``watched`` while the promoted canary is
    watched: its stable version may be faster because it has little to do. ``alone`` are the canary's counts
    since it serves all requests, by part of ``alone_harm``.
    Only windows that were not refused count, also for ``compared_s``, the seconds compared; ``refused`` is
    the reason of the latest window, ``notes`` say how it compares latencies by zone; ``by_zone`` are
    those of the step. ``offset_s`` is how far the clock has gone back in all.
    """

    yardstick: Yardstick
    errors: Likelihood
    slower: tuple[Compared, ...]
    watched: tuple[Compared, ...]
    objective_errors: Objective | None
    objective_slower: Objective | None
    stable: ArmWindow
    canary: ArmWindow
    stable_step: ArmWindow
    canary_step: ArmWindow
    stable_judged: ArmWindow
    canary_judged: ArmWindow
    alone: Mapping[str, Alone] = field(default_factory=dict)
    detector: LeakDetector = field(default_factory=LeakDetector)
    step: int = -1
    step_percent: float = 0.0
    canary_now: int = 0
    until_s: float = 0.0
    step_since_s: float = 0.0
    compared_s: float = 0.0
    refused: str = ""
    offset_s: float = 0.0
    by_zone: Mapping[str, ZoneWindow] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def start(cls, yardstick: Yardstick) -> Evidence:
        """The evidence before the first sample window."""
        nothing = _nothing(yardstick)
        return cls(
            yardstick=yardstick,
            errors=yardstick.of_errors(),
            slower=_compared(yardstick, yardstick.tolerance_slower),
            watched=(),
            objective_errors=yardstick.objective_errors,
            objective_slower=yardstick.objective_slower,
            stable=nothing,
            canary=nothing,
            stable_step=nothing,
            canary_step=nothing,
            stable_judged=nothing,
            canary_judged=nothing,
        )

    def against(self, yardstick: Yardstick) -> Evidence:
        """The evidence at the first weight, when the baseline has fixed what counts as worse."""
        return replace(Evidence.start(yardstick), refused=self.refused, offset_s=self.offset_s)

    def updated(self, look: SampleWindow) -> Evidence:
        """Return the evidence with one more sample window.

        Windows before the first weight change nothing, nor do windows that cannot be true; latencies of a
        warming window do not count.
        """
        reason = look.refused or self._refused(look)
        if reason:
            offset_s = self.offset_s + went_back_s(look)
            return replace(self, refused=reason, canary_now=0, offset_s=offset_s)
        if look.step < 0:
            return replace(self, refused="") if self.refused else self
        look = replace(look, start_s=look.start_s + self.offset_s, end_s=look.end_s + self.offset_s)
        same = (look.step, look.asked_percent) == (self.step, self.step_percent)
        return (self if same else self._stepped(look))._counted(look)

    @property
    def compared(self) -> tuple[Compared, ...]:
        """The likelihoods of latencies that count now: those of the watch, else those of the comparison."""
        return self.watched or self.slower

    @property
    def log_harm_errors(self) -> float:
        """Log evidence that the canary fails more often than stable."""
        return self.errors.log_evidence(self.yardstick.tolerance_errors, WORSE)

    @cached_property
    def log_harm_slower(self) -> dict[int, float]:
        """Log evidence, by the edge at which harm is judged, that the canary is slower than stable; while it
        is watched: slower by OFFSET_PERCENT.
        """
        edges = self.yardstick.harm_edges
        return {i: self.compared[i].log_evidence(self.compared[i].null) for i in edges}

    @cached_property
    def harm_parts(self) -> dict[str, float]:
        """The weighted log evidence of each part of harm; the largest names the cause."""
        weights = self.yardstick.weights
        parts = self._beside_stable(self.log_harm_errors, list(self.log_harm_slower.values()))
        if self.objective_errors:
            held = self.objective_errors.log_evidence
            parts["objective_errors"] = math.log(weights.objective_errors) + held
        if self.objective_slower:
            held = self.objective_slower.log_evidence
            parts["objective_slower"] = math.log(weights.objective_slower) + held
        return parts

    @property
    def harm(self) -> float:
        """The evidence of harm as odds against 1.

        Harm means that the canary is worse than stable, or breaks an objective that stable keeps.
        """
        return exp(log_sum_exp(list(self.harm_parts.values())))

    @property
    def harm_as_served(self) -> float:
        """The evidence of harm as odds against 1, without an assumed spread of few pods, and with the worst
        moments of latencies until the others show that they were a stall.

        It says that the canary's pods are worse than stable's, not that the version is.
        """
        yardstick, few_pods = self.yardstick, self.yardstick.few_pods
        nulls = {i: TOLERANCE if few_pods else yardstick.tolerance_slower[i] for i in yardstick.harm_edges}
        slower = [self.slower[i].log_evidence_of_rest(null) for i, null in nulls.items()]
        if slower and log_mean_exp(slower) > -math.log(STALL_ODDS):
            slower = [self.slower[i].log_evidence_of_all(null) for i, null in nulls.items()]
        errors = self.errors.log_evidence(TOLERANCE if few_pods else yardstick.tolerance_errors, WORSE)
        return max(self.harm, exp(log_sum_exp(list(self._beside_stable(errors, slower).values()))))

    @property
    def worst_edge(self) -> int | None:
        """The index of the watched edge with the strongest evidence of harm, None without edges."""
        log_harm = self.log_harm_slower
        return max(log_harm, key=lambda i: log_harm[i], default=None)

    @property
    def leak(self) -> float:
        """The slow-leak detector's sum, which must stay below the yardstick's ``leak_alarm``."""
        return exp(self.detector.log_leak)

    @property
    def shared_cause(self) -> str:
        """The objective (``errors`` or ``slower``) that both versions break now; empty if none."""
        if self.objective_errors and self.objective_errors.shared:
            return "errors"
        return "slower" if self.objective_slower and self.objective_slower.shared else ""

    def within(self, margin: LatencyMargin) -> float:
        """Evidence, as odds against 1, that the canary stays within a margin of latency; 0 if refused.

        It is the weighted mean of three, of which none holds for a canary outside the margin: both versions
        compared at one edge; each by itself against its own of the likeliest pair of edges, where the weaker
        counts; and the mean of the same over the other pairs, which has the weight ``OTHER_PAIRS``.
        """
        if margin.refused:
            return 0.0
        found = [-math.inf]
        if margin.null > 0:
            compared = self.slower[margin.edge].all.log_evidence(margin.null, margin.steps)
            found.append(compared + math.log(FIRST_TESTS))
        if margin.apart and self.stable_judged.timed and self.canary_judged.timed:
            likeliest, *others = (self._apart(margin.level, pair) for pair in margin.pairs)
            found.append(likeliest + math.log(FIRST_TESTS))
            found.append(log_mean_exp(others or [likeliest]) + math.log(OTHER_PAIRS))
        return exp(log_sum_exp(found)) if max(found) > -math.inf else 0.0

    def _apart(self, level: float, pair: EdgePair) -> float:
        """Log evidence that stable's quantile is above its edge and the canary's below its own, in every zone
        that is compared.
        """
        stable, canary = self.stable_judged, self.canary_judged
        whole = ZoneWindow("", stable.timed, stable.slower, canary.timed, canary.slower)
        fewer = [-step for step in MARGIN_STEPS]
        found = []
        for at in self.by_zone.values() or (whole,):
            above = at.stable_timed, at.stable_slower[pair.above]
            below = at.canary_timed, at.canary_slower[pair.below]
            found.append(alone_log_evidence(*above, level, MARGIN_STEPS))
            found.append(alone_log_evidence(*below, pair.below_level, fewer))
        return min(found) / self.yardstick.dispersion

    @property
    def errors_within(self) -> float:
        """Evidence, as odds against 1, that errors are within the margin."""
        stable, canary = self.stable_step, self.canary_step
        if not (canary.requests and stable.requests):
            return 0.0
        counts = (canary.requests, canary.errors), (stable.requests, stable.errors)
        yardstick = self.yardstick
        found = points_log_evidence(yardstick.error_points, *counts, yardstick.errors_by_pods)
        return exp(found / yardstick.dispersion)

    @property
    def alone_shares(self) -> dict[str, float]:
        """The shares of events up to which a canary without stable beside it is not harmful, by part.

        They are those of stable's totals plus the margin of errors, or of latencies GROSS_PERCENT longer (or
        the margin, if wider).
        """
        yardstick = self.yardstick
        usual = _share(self.stable.errors, self.stable.requests)
        shares = {"errors": usual + yardstick.error_points / 100}
        for margin in yardstick.margins:
            usual = _share(self.stable.slower[margin.edge], self.stable.timed)
            gross = yardstick.baseline.margin_log_odds(margin.edge_ms, max(margin.percent, GROSS_PERCENT))
            odds = usual / (1 - usual) * math.exp(gross)
            shares[margin.quantile] = odds / (1 + odds)
        return shares

    @property
    def alone_parts(self) -> dict[str, float]:
        """The log evidence of each part of ``alone_harm``: ``errors`` and the quantiles of the margins."""
        nothing = Alone()
        return {
            name: self.alone.get(name, nothing).log_evidence(share)
            for name, share in self.alone_shares.items()
        }

    @property
    def alone_harm(self) -> float:
        """The evidence, as odds against 1, that a canary without stable beside it decays grossly."""
        return exp(log_mean_exp(list(self.alone_parts.values())))

    def _beside_stable(self, errors: float, slower: Sequence[float]) -> dict[str, float]:
        """The weighted parts of harm that compare both versions, from their log evidence."""
        weights = self.yardstick.weights
        parts = {"errors": math.log(weights.errors) + errors}
        if slower:
            parts["slower"] = math.log(weights.slower) + log_mean_exp(slower)
        return parts

    def _refused(self, look: SampleWindow) -> str:
        """Why a window cannot be true, or does not fit the previous ones."""
        yardstick = self.yardstick
        return yardstick.problem or refused_window(
            look,
            edges=len(yardstick.edges_ms),
            steps=yardstick.steps,
            until_s=self.until_s - self.offset_s if self.step >= 0 else None,
            longest_s=yardstick.longest_look_s,
        )

    def _stepped(self, look: SampleWindow) -> Evidence:
        """The evidence at the start of the step of ``look``; the watch counts latencies and leaks anew."""
        nothing = _nothing(self.yardstick)
        after = replace(
            self,
            step=look.step,
            step_percent=look.asked_percent,
            step_since_s=look.start_s,
            stable_step=nothing,
            canary_step=nothing,
            stable_judged=nothing,
            canary_judged=nothing,
            by_zone={},
            alone={},
        )
        if look.step != self.yardstick.watch_step or self.step == look.step:
            return after
        watched = _compared(self.yardstick, self.yardstick.offset_slower)
        return replace(after, watched=watched, detector=LeakDetector())

    def _counted(self, look: SampleWindow) -> Evidence:
        """The evidence with one more window of the current step."""
        after = replace(
            self,
            canary_now=look.canary.requests,
            until_s=look.end_s,
            compared_s=round(self.compared_s + look.end_s - look.start_s, 6),
            refused="",
            notes=(look.note,) if look.note else (),
            errors=self.errors.updated(look.failures),
            objective_errors=_held_to(self.objective_errors, look, None),
            objective_slower=_held_to(self.objective_slower, look, self.yardstick.slow_edge),
            stable=self.stable + look.stable,
            canary=self.canary + look.canary,
            stable_step=self.stable_step + look.stable,
            canary_step=self.canary_step + look.canary,
        )
        if not look.warming:
            seconds = look.end_s - look.start_s
            counted = tuple(
                one.updated(look.slower_by_zone(i), seconds) for i, one in enumerate(self.compared)
            )
            after = replace(
                after,
                stable_judged=self.stable_judged + look.stable,
                canary_judged=self.canary_judged + look.canary,
                by_zone=look.zones_with(self.by_zone),
            )
            after = replace(after, watched=counted) if self.watched else replace(after, slower=counted)
        if look.step == self.yardstick.steps - 1:
            after = replace(after, alone=after._alone_with(look))
        watching = look.step == self.yardstick.watch_step
        return after._folded() if watching and self.detector.due(look.end_s) else after

    def _alone_with(self, look: SampleWindow) -> dict[str, Alone]:
        """The canary's counts by part of ``alone_harm``, with those of one more window."""
        canary, seconds = look.canary, look.end_s - look.start_s
        counts = {"errors": (canary.requests, canary.errors)}
        if not look.warming:
            counts |= {m.quantile: (canary.timed, canary.slower[m.edge]) for m in self.yardstick.margins}
        shares = self.alone_shares
        added = {
            name: self.alone.get(name, Alone()).updated(each, seconds, shares[name])
            for name, each in counts.items()
        }
        return {**self.alone, **added}

    def _folded(self) -> Evidence:
        yardstick = self.yardstick
        ratios = [self.errors.log_ratios(yardstick.tolerance_errors, WORSE)]
        for i in yardstick.harm_edges:
            ratios.append(self.compared[i].all.log_ratios(yardstick.tolerance_slower[i], WORSE))
        scores = [self.compared[i].all.score for i in yardstick.harm_edges]
        together = together_score(yardstick.baseline, yardstick.baseline.harm_edges_ms, scores)
        return replace(self, detector=self.detector.folded(ratios, self.until_s, [together, *scores]))


def exp(log_value: float) -> float:
    """e^x, at most 1e300, because evidence is displayed and not multiplied further."""
    return math.exp(min(log_value, 690.0))


def _nothing(yardstick: Yardstick) -> ArmWindow:
    return ArmWindow(slower=(0,) * len(yardstick.edges_ms))


def _compared(yardstick: Yardstick, nulls: Sequence[float]) -> tuple[Compared, ...]:
    """The comparison of latencies at each watched edge before the first window."""
    return tuple(map(Compared.start, yardstick.of_slower(), nulls))


def _held_to(objective: Objective | None, look: SampleWindow, edge: int | None) -> Objective | None:
    """Update an objective with one more window: failures, or requests slower than an edge."""
    if objective is None or (edge is not None and look.warming):
        return objective
    table = look.failures if edge is None else look.slower(edge)
    return objective.updated(Window(look.start_s, look.end_s, *_counts(table)))


def _counts(table: Table) -> tuple[int, int, int, int]:
    return table.canary, table.canary_events, table.stable, table.stable_events


def _share(events: int, requests: int) -> float:
    """A share that is never 0 or 1: half an event is added to either side."""
    return (events + 0.5) / (requests + 1)
