"""Thresholds of a release, fixed before the first weight from its baseline and specification only.

No later sample window can therefore change the measure. The error rates are spent as follows (alpha = 1 -
confidence of the release):

- *harm*: a weighted mean of e-processes, itself one: errors, the mean over all watched latency edges, and
  (if an objective is declared and the baseline met it) the canary alone against the objective. It is
  compared with 1/alpha. If the pods' spread widens a tolerance, half of alpha is spent on that and the
  limit is 2/alpha.
- *margins*: errors and each of p50, p90, p99 must be shown to stay below their margin (margins.py); all of
  them must, so none needs a correction. The measured spread of the pods shrinks
  the margins; an assumed one does not, but a canary that looks worse without it is not promoted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.decide.baseline import HARM_QUANTILES, MARGIN_QUANTILES, Baseline
from meshkit.decide.margins import LatencyMargin, latency_margins
from meshkit.decide.statistics.detector import ALARM, PERIOD_S, WATCHES_PER_FALSE_ALARM
from meshkit.decide.statistics.objective import Objective
from meshkit.decide.statistics.sequential import WORSE, Likelihood

if TYPE_CHECKING:
    from meshkit.intent.release import Release

TOLERANCE = math.log(1.05)
"""Log odds ratio that counts as not worse: about 2 % slower for usual latencies."""
LOW_TRAFFIC_RPS = 5.0
"""Canary requests a second at the first step below which an objective is given most of the weight."""
GROSS_PERCENT = 40.0
"""What shows when nothing runs beside the canary: the daily wave alone moves latencies by +-15 %."""
OFFSET_PERCENT = 25.0
"""While the promoted canary is watched, stable has little to do and may be faster for it by so much."""
MOST_DISPERSION = 10.0
"""Counts that vary more than this many times as chance has it promote nothing."""
LONGEST_LOOK_S, LONGEST_LOOKS = 60.0, 20
"""A sample window may last so many seconds, or so many times ``look_s``, whichever is longer."""
_INTERVAL_POINTS = (-2.0, -1.0, -0.5, -0.25, -0.1, 0.0)


@dataclass(frozen=True)
class Weights:
    """The weights of the parts of the evidence of harm: against stable, and against the objective."""

    errors: float = 0.5
    slower: float = 0.5
    objective_errors: float = 0.0
    objective_slower: float = 0.0


@dataclass(frozen=True)
class Yardstick:
    """Edges, tolerances, margins, objectives and limits of one release.

    ``tolerance_slower`` and ``names`` have one entry per watched edge; tolerances are log odds ratios, as is
    ``errors_by_pods``, by which pods alone may differ in errors, whose margin is ``error_points``. Harm is
    judged at the edges ``harm_edges``.
    ``unmet`` objectives were refused. ``problem`` says why the baseline cannot be true (empty: it can); such
    a baseline is not used. In ``watch_step`` (None: none) latencies count against ``offset_slower``, and a
    leak at ``leak_alarm``. Sample windows longer than ``longest_look_s`` are refused.
    """

    baseline: Baseline
    edges_ms: tuple[float, ...]
    names: tuple[str, ...]
    alpha: float
    harm_limit: float
    tolerance_errors: float
    tolerance_slower: tuple[float, ...]
    errors_by_pods: float
    error_points: float
    harm_edges: tuple[int, ...]
    margins: tuple[LatencyMargin, ...]
    dispersion: float
    weights: Weights
    objective_errors: Objective | None
    objective_slower: Objective | None
    slow_edge: int | None
    unmet: tuple[str, ...]
    steps: int
    watch_step: int | None
    offset_slower: tuple[float, ...]
    leak_alarm: float
    longest_look_s: float
    problem: str = ""

    @classmethod
    def of(cls, baseline: Baseline, release: Release) -> Yardstick:
        """Compute the thresholds from the baseline and the release."""
        problem = baseline.problem
        baseline = Baseline(()) if problem else baseline
        edges, noise = baseline.edges_ms, baseline.noise
        alpha = 1 - release.margins.confidence
        by_pods = [noise.tolerance(sd, alpha) for sd in noise.sd_slower] if noise else [0.0] * len(edges)
        errors_by_pods = noise.tolerance(noise.sd_errors, alpha) if noise else 0.0
        assumed = noise is not None and noise.assumed
        shrinking = [0.0] * len(edges) if assumed else by_pods
        tolerances = tuple(max(TOLERANCE, one) for one in by_pods)
        widened = max([errors_by_pods, *by_pods]) > TOLERANCE
        errors, slower, unmet = _objectives(baseline, release)
        return cls(
            baseline=baseline,
            edges_ms=edges,
            names=tuple(_name(baseline, edge) for edge in edges),
            alpha=alpha,
            harm_limit=(2 if widened else 1) / alpha,
            tolerance_errors=max(TOLERANCE, errors_by_pods),
            tolerance_slower=tolerances,
            errors_by_pods=0.0 if assumed else errors_by_pods,
            error_points=release.margins.error_points,
            harm_edges=tuple(edges.index(edge) for edge in baseline.harm_edges_ms),
            margins=latency_margins(baseline, release.margins, dict(zip(edges, shrinking, strict=True))),
            dispersion=noise.dispersion if noise else 1.0,
            weights=_weights(baseline, release, errors, slower),
            objective_errors=errors,
            objective_slower=slower,
            slow_edge=edges.index(baseline.slow_edge_ms) if slower and baseline.slow_edge_ms else None,
            unmet=unmet,
            steps=len(release.ladder),
            watch_step=release.deciding_step + 1 if release.keeps_stable else None,
            offset_slower=tuple(
                max(tolerance, baseline.margin_log_odds(edge, OFFSET_PERCENT))
                for edge, tolerance in zip(edges, tolerances, strict=True)
            ),
            leak_alarm=min(ALARM, WATCHES_PER_FALSE_ALARM * max(1.0, release.watch_s / PERIOD_S)),
            longest_look_s=max(LONGEST_LOOK_S, LONGEST_LOOKS * release.look_s),
            problem=problem,
        )

    @property
    def label(self) -> str:
        """What the stated error rate covers: one of ``per request``, ``pods not measured``, ``few pods``,
        ``pods measured``, ``calibrated on A/A``.
        """
        if self.baseline.noise is None:
            return "pods not measured"
        if self.few_pods:
            return "few pods"
        if self.dispersion > 1:
            return "calibrated on A/A"
        return "pods measured" if self.widened else "per request"

    @property
    def few_pods(self) -> bool:
        """Whether the spread of the pods is assumed, because there are too few of them to measure it."""
        return self.baseline.noise is not None and self.baseline.noise.assumed

    @property
    def widened(self) -> bool:
        """Whether the spread of the pods widens a tolerance."""
        return max((self.tolerance_errors, *self.tolerance_slower)) > TOLERANCE

    def of_errors(self) -> Likelihood:
        """The likelihood of failures before the first table."""
        besides = _worse_than(TOLERANCE) if self.few_pods else []
        points = [*_worse_than(self.tolerance_errors), *_INTERVAL_POINTS]
        return Likelihood.over(points, self.dispersion, besides)

    def of_slower(self) -> tuple[Likelihood, ...]:
        """The likelihoods of latencies beyond each watched edge before the first table.

        At the other edges of margins and objectives each version is counted by itself, so their likelihood
        has no points.
        """
        likelihoods = []
        compared = {*self.harm_edges, *(margin.edge for margin in self.margins)}
        for i, tolerance in enumerate(self.tolerance_slower):
            if i not in compared:
                likelihoods.append(Likelihood(()))
                continue
            besides = [
                margin.null + step
                for margin in self.margins
                for step in (0.0, *margin.steps)
                if margin.edge == i and margin.null > 0
            ]
            besides += _worse_than(self.offset_slower[i])
            if self.few_pods:
                besides += _worse_than(TOLERANCE)
            points = [*_worse_than(tolerance), *_INTERVAL_POINTS]
            likelihoods.append(Likelihood.over(points, self.dispersion, besides))
        return tuple(likelihoods)


def _worse_than(null: float) -> list[float]:
    """A null and the alternatives above it."""
    return [null + step for step in (0.0, *WORSE)]


def _name(baseline: Baseline, edge_ms: float) -> str:
    """The quantile that an edge represents: ``p99``."""
    margins = {baseline.margin_edge_ms(q): name for name, q in MARGIN_QUANTILES}
    harm = {baseline.edge_ms(q): f"p{100 * q:g}" for q in reversed(HARM_QUANTILES)}
    return margins.get(edge_ms) or harm.get(edge_ms) or f"{edge_ms:.4g} ms"


def _objectives(
    baseline: Baseline, release: Release
) -> tuple[Objective | None, Objective | None, tuple[str, ...]]:
    """The objectives for errors and latency that the baseline meets, and the names of those it does not."""
    asked, errors, slower, unmet = release.objectives, None, None, []
    if asked and asked.error_percent is not None:
        share = asked.error_percent / 100
        if baseline.errors > share * baseline.answered:
            unmet.append("errors")
        else:
            errors = Objective(share)
    if asked and asked.slower_percent is not None:
        share, edge_ms = asked.slower_percent / 100, baseline.slow_edge_ms
        if edge_ms is None or baseline.slower_than(edge_ms) > share * baseline.requests:
            unmet.append("slower")
        else:
            slower = Objective(share)
    return errors, slower, tuple(unmet)


def _weights(
    baseline: Baseline, release: Release, errors: Objective | None, slower: Objective | None
) -> Weights:
    """Weigh the comparison more, or the objective if few canary requests are expected.

    The weights 0.4/0.4/0.1/0.1 and 0.15/0.15/0.45/0.25 come from simulation (docs/ideas/verdict.md); the
    weight of a missing objective goes to the comparison.
    """
    rps = baseline.answered / baseline.seconds if baseline.seconds else math.inf
    low = rps * release.steps[0] / 100 < LOW_TRAFFIC_RPS
    for_errors = (0.45 if low else 0.1) if errors else 0.0
    for_slower = (0.25 if low else 0.1) if slower else 0.0
    compared = (1 - for_errors - for_slower) / 2
    return Weights(compared, compared, for_errors, for_slower)
