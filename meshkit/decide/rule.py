"""The rule: evidence and progress on the ladder -> what to do now, in sentences and as numbers.

- rollback   at any look, held or not: evidence of harm has reached 1/alpha.
- promote    this step has passed: its clock has run, the canary has answered enough since the warm-up, harm
             stays below 2 : 1 and the measured share agrees. The step below 100 also needs the evidence of
             every margin: it is the promotion. At 100 it means that the watch is over.
- undecided  the deadline came first, and no person holds the release. No data is never success. At 100 % the
             deadline has begun anew, and leaves time for the watch.
- continue   otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshkit.decide import sentences
from meshkit.decide.evidence import Evidence
from meshkit.decide.verdict import Action, Condition, Progress, Verdict

if TYPE_CHECKING:
    from meshkit.intent.release import Release

CALM = 2.0
"""A step is not left while the evidence of harm is at 2 : 1 or more."""


def judge(evidence: Evidence, release: Release, progress: Progress) -> Verdict:
    """The verdict on a release after the looks in ``evidence``. Pure: the same looks give the same
    verdict.
    """
    alpha = 1 - release.margins.confidence
    alone = progress.step == len(release.steps) - 1
    harm = evidence.alone_harm(release.margins.error_points) if alone else evidence.harm
    conditions = _conditions(evidence, release, progress, harm)
    waiting = [c for c in conditions if c.needed and not c.met]
    limit_s = release.deadline_s + (release.watch_s if alone else 0)
    action: Action = "continue"
    if progress.step >= 0 and harm >= 1 / alpha:
        action = "rollback"
    elif progress.elapsed_s >= limit_s and not progress.held:
        action = "undecided"
    elif progress.step >= 0 and not waiting and not progress.held:
        action = "promote"
    numbers = _numbers(evidence, progress, harm, 1 / alpha)
    told = sentences.of(action, release, evidence, progress, conditions, numbers)
    return Verdict(action, told, harm, 1 / alpha, conditions, numbers)


def _conditions(
    evidence: Evidence, release: Release, progress: Progress, harm: float
) -> tuple[Condition, ...]:
    """Everything that is shown; ``needed`` marks what this step waits for."""
    last = len(release.steps) - 1
    clock = progress.step_elapsed_s or 0.0
    agrees = progress.step_elapsed_s is not None
    always = (
        Condition("share", float(agrees), 1, "agrees", agrees, True),
        Condition("data", evidence.canary_now, 1, "requests", evidence.canary_now > 0, True),
    )
    if progress.step == last:
        return (
            *always,
            Condition("watch", clock, release.watch_s, "s", agrees and clock >= release.watch_s, True),
        )
    margins, alpha = release.margins, 1 - release.margins.confidence
    seen = evidence.judged_step if evidence.step == progress.step else 0
    errors = evidence.errors_within(margins.error_points, alpha)
    deciding = progress.step == last - 1
    found = [
        *always,
        Condition("time", clock, release.step_s, "s", clock >= release.step_s, True),
        Condition("requests", seen, release.min_requests, "requests", seen >= release.min_requests, True),
        Condition("harm", harm, CALM, ": 1, below", harm < CALM, True),
        Condition("errors", errors, 2 / alpha, ": 1", errors >= 2 / alpha, deciding),
    ]
    for margin in evidence.margin_slower:
        odds = margin.odds
        found.append(Condition(margin.quantile, odds, 1 / alpha, ": 1", odds >= 1 / alpha, deciding))
    if not evidence.margin_slower:
        found.append(Condition("latency", 0, 1 / alpha, ": 1", False, deciding))
    return tuple(found)


def _numbers(evidence: Evidence, progress: Progress, harm: float, limit: float) -> dict[str, float]:
    """Every number that a sentence may say."""
    numbers: dict[str, float] = {
        "elapsed_s": progress.elapsed_s,
        "compared_s": evidence.until_s - evidence.since_s,
        "step_elapsed_s": progress.step_elapsed_s or 0.0,
        "harm": harm,
        "harm_limit": limit,
    }
    worst = evidence.worst_edge
    for name, arm in (("stable", evidence.stable), ("canary", evidence.canary)):
        numbers[f"{name}_requests"] = arm.requests
        numbers[f"{name}_errors"] = arm.errors
        if worst is not None:
            numbers[f"{name}_timed"] = arm.timed
            numbers[f"{name}_slower"] = arm.slower[worst]
    if worst is not None:
        numbers["edge_ms"] = evidence.edges_ms[worst]
    for margin in evidence.margin_slower:
        numbers[f"{margin.quantile}_edge_ms"] = margin.edge_ms
    return numbers
