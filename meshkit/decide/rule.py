"""The decision rule: from the evidence and the current step to the next action, with reasons and numbers.

- rollback   in any sample window, even if the release is held: the evidence of harm has reached its limit, or
             after the promotion the alarm of the slow-leak detector has. With ``on_harm: freeze`` the
             weights stay, and a person decides.
- undecided  the deadline has passed, and no person holds the release. Missing data never counts as success.
             The deadline starts again at the promotion, with time for the watch.
- pause      both versions violate their objective. The cause is shared, so the canary is not to blame and
             cannot be judged. The weights stay until the violation ends.
- promote    the step is complete: its time is over, the canary has answered enough requests since the
             warm-up, the evidence of harm is below 2 : 1 and the measured share agrees. The deciding step,
             before the canary gets all requests, also needs the soak and the evidence for every margin,
             unless all are shifted at once (blue/green).
             After it, the watch must be over. A window that cannot be true (admission/) holds the release.
- continue   otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from meshkit.decide import sentences, summary
from meshkit.decide.admission.possible import refused_progress
from meshkit.decide.evidence import Evidence
from meshkit.decide.numbers import numbers_of
from meshkit.decide.thresholds import MOST_DISPERSION
from meshkit.decide.verdict import Action, Condition, Progress, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshkit.intent.release import Lead, Release

Phase = Literal["comparing", "watching", "alone"]

CALM = 2.0
"""The release stays at a step while the evidence of harm is at 2 : 1 or more."""
LEAD_LABELS: Mapping[Lead, str] = {
    "mirror": "mirrored requests",
    "cohort": "cohorts not randomised",
    "testers": "testers not randomised",
}
"""The labels of verdicts on requests that no weight has dealt out."""
_INPUT = Condition("input", 0, 1, "counts that can be true", met=False, needed=True)


def judge(evidence: Evidence, release: Release, progress: Progress) -> Verdict:
    """Return the verdict on a release after the sample windows in ``evidence``; a pure function."""
    if reason := refused_progress(progress, len(release.ladder)):
        return _held_for(reason, evidence)
    action, harm, conditions = decided(evidence, release, progress)
    numbers = numbers_of(evidence, release, progress, harm, conditions)
    text = sentences.of(action, release, evidence, progress, conditions, numbers)
    label = "shared cause" if action == "pause" else _label(evidence, release, progress, action)
    short = summary.of(action, release, evidence, progress, conditions, numbers)
    return Verdict(action, text, harm, evidence.yardstick.harm_limit, conditions, numbers, label, short)


def decided(
    evidence: Evidence, release: Release, progress: Progress
) -> tuple[Action, float, tuple[Condition, ...]]:
    """Return the action, the evidence of harm, and the conditions: a verdict without sentences."""
    if refused_progress(progress, len(release.ladder)):
        return "continue", evidence.harm, (_INPUT,)
    phase = phase_of(release, progress.step)
    harm = evidence.alone_harm if phase == "alone" else evidence.harm
    conditions = _conditions(evidence, release, progress, harm)
    waiting = [c for c in conditions if c.needed and not c.met]
    deadline_s = release.deadline_s + (release.watch_s if phase != "comparing" else 0)
    leaks = phase == "watching" and evidence.leak >= evidence.yardstick.leak_alarm
    action: Action = "continue"
    if progress.step >= 0 and (harm >= evidence.yardstick.harm_limit or leaks):
        action = "rollback"
    elif progress.elapsed_s >= deadline_s and not progress.held:
        action = "undecided"
    elif progress.step >= 0 and evidence.shared_cause:
        action = "pause"
    elif progress.step >= 0 and not waiting and not progress.held:
        action = "promote"
    return action, harm, conditions


def _held_for(reason: str, evidence: Evidence) -> Verdict:
    """Return the verdict where not even the progress of the release can be true."""
    harm, limit = evidence.harm, evidence.yardstick.harm_limit
    text = sentences.refused(reason)
    numbers = {"harm": harm, "harm_limit": limit}
    return Verdict("continue", text, harm, limit, (_INPUT,), numbers, summary=summary.held(reason))


def phase_of(release: Release, step: int) -> Phase:
    """The purpose of a step: comparing until the promotion, then watching beside stable, or alone."""
    if step == len(release.ladder) - 1:
        return "alone"
    return "watching" if step > release.deciding_step else "comparing"


def _label(evidence: Evidence, release: Release, progress: Progress, action: Action) -> str:
    """What the error rate of this verdict covers; a rollback on an objective has its own label."""
    parts = evidence.harm_parts
    if action == "rollback" and max(parts, key=lambda name: parts[name]).startswith("objective"):
        return "against your objective"
    lead = release.lead_at(progress.step)
    return LEAD_LABELS[lead] if lead else evidence.yardstick.label


def _conditions(
    evidence: Evidence, release: Release, progress: Progress, harm: float
) -> tuple[Condition, ...]:
    """All displayed conditions; ``needed`` marks those that this step waits for."""
    phase, clock = phase_of(release, progress.step), progress.step_elapsed_s or 0.0
    agrees = progress.step_elapsed_s is not None
    always: tuple[Condition, ...] = (
        Condition("share", float(agrees), 1, "agrees", agrees, True),
        Condition("data", evidence.canary_now, 1, "requests", evidence.canary_now > 0, True),
    )
    if evidence.refused:
        always = (_INPUT, *always)
    if phase == "watching" or (phase == "alone" and (progress.forced or not release.keeps_stable)):
        watch = Condition("watch", clock, release.watch_s, "s", agrees and clock >= release.watch_s, True)
        alarm = evidence.yardstick.leak_alarm
        leak = Condition("leak", evidence.leak, alarm, "looks, below", evidence.leak < alarm, True)
        return (*always, watch, leak) if phase == "watching" else (*always, watch)
    if phase == "alone":
        return always
    served, least_s = max(harm, evidence.harm_as_served), release.least_s(progress.step)
    seen = evidence.canary_judged.requests if evidence.step == progress.step else 0
    return (
        *always,
        Condition("time", clock, least_s, "s", clock >= least_s, True),
        Condition("requests", seen, release.min_requests, "requests", seen >= release.min_requests, True),
        Condition("harm", served, CALM, ": 1, below", served < CALM, True),
        *_of_promotion(evidence, release, deciding=_decides(release, progress.step)),
    )


def _decides(release: Release, step: int) -> bool:
    """Whether the soak and the margins decide at a step: not before all requests are shifted at once."""
    return step == release.deciding_step and not release.at_once


def _of_promotion(evidence: Evidence, release: Release, *, deciding: bool) -> tuple[Condition, ...]:
    yardstick = evidence.yardstick
    soaked_s = evidence.compared_s
    errors, limit = evidence.errors_within, 1 / yardstick.alpha
    found = [
        Condition("soak", soaked_s, release.soak_s, "s", soaked_s >= release.soak_s, deciding),
        Condition("errors", errors, limit, ": 1", errors >= limit, deciding),
    ]
    for margin in yardstick.margins:
        odds = evidence.within(margin)
        met = odds >= limit and yardstick.dispersion <= MOST_DISPERSION
        found.append(Condition(margin.quantile, odds, limit, ": 1", met, deciding))
    if not yardstick.margins:
        found.append(Condition("latency", 0, limit, ": 1", False, deciding))
    return tuple(found)
