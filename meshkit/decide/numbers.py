"""The numbers behind a verdict under fixed names; its sentences use no others.

Shares and changes are in percent, times in seconds, evidence in odds against 1. A number that does not exist
(no latency was measured; an interval is unbounded) is omitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshkit.decide import forecast, intervals
from meshkit.decide.evidence import Evidence
from meshkit.decide.pods import ASSUMED_LATENCY_SD
from meshkit.decide.sample_windows import ArmWindow
from meshkit.decide.statistics.detector import PERIOD_S
from meshkit.decide.thresholds import GROSS_PERCENT
from meshkit.decide.verdict import Condition, Progress

if TYPE_CHECKING:
    from meshkit.intent.release import Release

DECIDES_BEST_PERCENT = 50.0
"""The share at which comparing needs the least time."""


def numbers_of(
    evidence: Evidence,
    release: Release,
    progress: Progress,
    harm: float,
    conditions: Sequence[Condition],
) -> dict[str, float]:
    """Return every number that the sentences of a verdict may use."""
    numbers = {
        **_asked(release, progress.step),
        **_seen(evidence),
        **_yardstick(evidence),
        "elapsed_s": progress.elapsed_s,
        "compared_s": evidence.compared_s,
        "step_elapsed_s": progress.step_elapsed_s or 0.0,
        "harm": harm,
        "harm_limit": evidence.yardstick.harm_limit,
        "leak_alarm_days": evidence.yardstick.leak_alarm * PERIOD_S / 86_400,
        "gross_percent": GROSS_PERCENT,
    }
    if progress.step == len(release.ladder) - 1:
        numbers |= _alone(evidence)
    if progress.step == release.deciding_step and not release.at_once:
        numbers |= _needed(evidence, release, conditions)
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _asked(release: Release, step: int) -> dict[str, float]:
    """The numbers that the release requests."""
    margins, ladder = release.margins, release.ladder
    asked = {
        "error_points": margins.error_points,
        "p50_percent": margins.p50_percent,
        "p90_percent": margins.p90_percent,
        "p99_percent": margins.p99_percent,
        "confidence_percent": 100 * margins.confidence,
        "alpha_percent": 100 * (1 - margins.confidence),
        "deadline_s": release.deadline_s,
        "watch_s": release.watch_s,
        "keep_percent": release.keep_percent,
    }
    if release.objectives:
        asked |= {f"objective_{name}": value for name, value in release.objectives if value is not None}
    if step >= 0:
        asked["step_percent"] = ladder[step]
    if step + 1 < len(ladder):
        asked["next_percent"] = ladder[step + 1]
    return asked


def _seen(evidence: Evidence) -> dict[str, float]:
    """Counts and shares of both versions, and how much worse the canary is.

    They are given at the edge with the strongest evidence of harm.
    """
    found: dict[str, float] = {}
    worst = evidence.worst_edge
    for name, arm in (("stable", evidence.stable), ("canary", evidence.canary)):
        found |= _counted(name, arm, worst)
    if evidence.canary.requests:
        low, high = intervals.failure_ratio(evidence)
        found |= {"failure_ratio_low": low, "failure_ratio_high": high}
        low, high = intervals.failure_points(evidence)
        found |= {"errors_low_points": low, "errors_high_points": high}
    if worst is not None:
        low, high = intervals.slower_percent(evidence, worst)
        found |= {"edge_ms": evidence.yardstick.edges_ms[worst], "slower_low_percent": low}
        found |= {"slower_high_percent": high, "faster_percent": -low}
    for margin in evidence.yardstick.margins:
        low, high = intervals.margin_percent(evidence, margin)
        found |= {f"{margin.quantile}_edge_ms": margin.edge_ms, f"{margin.quantile}_low_percent": low}
        found |= {f"{margin.quantile}_high_percent": high}
    for name, objective in (("errors", evidence.objective_errors), ("slower", evidence.objective_slower)):
        if objective:
            found |= {
                f"objective_{name}_requests": objective.requests,
                f"objective_{name}_bad": objective.bad,
            }
            found[f"objective_{name}_bad_percent"] = _percent(objective.bad, objective.requests)
    return found


def _alone(evidence: Evidence) -> dict[str, float]:
    """Counts and shares since the canary serves all requests, and stable's at the edges of the margins."""
    failed, canary, stable = evidence.canary_step, evidence.canary_judged, evidence.stable
    found: dict[str, float] = {}
    found |= {"alone_requests": failed.requests, "alone_errors": failed.errors, "alone_timed": canary.timed}
    found["alone_error_percent"] = _percent(failed.errors, failed.requests)
    for margin in evidence.yardstick.margins:
        for name, arm in (("alone", canary), ("stable", stable)):
            slower = arm.slower[margin.edge]
            found |= {f"{name}_{margin.quantile}_slower": slower}
            found |= {f"{name}_{margin.quantile}_slower_percent": _percent(slower, arm.timed)}
    if evidence.yardstick.margins:
        found["stable_timed"] = stable.timed
    return found


def _counted(name: str, arm: ArmWindow, worst: int | None) -> dict[str, float]:
    found = {
        f"{name}_requests": arm.requests,
        f"{name}_errors": arm.errors,
        f"{name}_unreached": arm.unreached,
        f"{name}_error_percent": _percent(arm.errors, arm.requests),
    }
    if worst is not None:
        found |= {f"{name}_timed": arm.timed, f"{name}_slower": arm.slower[worst]}
        found[f"{name}_slower_percent"] = _percent(arm.slower[worst], arm.timed)
    return found


def _yardstick(evidence: Evidence) -> dict[str, float]:
    """The spread of the stable version's pods, and the history for which an objective was refused."""
    yardstick, baseline = evidence.yardstick, evidence.yardstick.baseline
    found = {"dispersion": yardstick.dispersion}
    if yardstick.few_pods:
        found["assumed_pods_percent"] = 100 * ASSUMED_LATENCY_SD
    if baseline.noise:
        found |= {"stable_pods": baseline.noise.stable_pods, "canary_pods": baseline.noise.canary_pods}
    for name, tolerance in zip(yardstick.names, yardstick.tolerance_slower, strict=True):
        found[f"{name}_tolerated_odds"] = math.exp(tolerance)
    found["errors_tolerated_odds"] = math.exp(yardstick.tolerance_errors)
    found |= {"baseline_requests": baseline.answered, "baseline_errors": baseline.errors}
    found["baseline_error_percent"] = _percent(baseline.errors, baseline.answered)
    if baseline.slow_edge_ms is not None:
        slower = baseline.slower_than(baseline.slow_edge_ms)
        found |= {"slow_edge_ms": baseline.slow_edge_ms, "baseline_slower": slower}
        found |= {
            "baseline_timed": baseline.requests,
            "baseline_slower_percent": _percent(slower, baseline.requests),
        }
    return found


def _needed(evidence: Evidence, release: Release, conditions: Sequence[Condition]) -> dict[str, float]:
    """Seconds until the open margins would be shown, at this step's rates and at half of the traffic."""
    seconds = evidence.until_s - evidence.step_since_s
    if seconds <= 0:
        return {}
    now = forecast.Rates(evidence.canary_step.requests / seconds, evidence.stable_step.requests / seconds)
    best = forecast.Rates.at(now.canary + now.stable, DECIDES_BEST_PERCENT)
    still_open = {c.name for c in conditions if c.needed and not c.met}
    found = {"best_percent": DECIDES_BEST_PERCENT}
    at_present, at_best = ("needed_s", now, seconds), ("needed_at_best_s", best, 0.0)
    for name, rates, step_s in (at_present,) if release.lead_in else (at_present, at_best):
        left = [
            forecast.latency_seconds(
                evidence.yardstick, margin, rates, evidence.slower[margin.edge].all.information, step_s
            )
            for margin in evidence.yardstick.margins
            if margin.quantile in still_open
        ]
        if "errors" in still_open:
            points = release.margins.error_points
            left.append(forecast.error_seconds(evidence.yardstick, points, rates, step_s))
        if left:
            found[name] = max(left)
    if "soak" in still_open:
        found["soak_left_s"] = release.soak_s - evidence.compared_s
    return found


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan
