"""The short form of a verdict: what happened, how sure that is, and what follows, in at most 30 words.

The sentences of ``sentences.py`` unfold it: the counts, the arithmetic, and what the error rate covers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.decide.evidence import Evidence
from meshkit.decide.formatting import odds, percent, seconds, worse
from meshkit.decide.verdict import Action, Condition, Progress

if TYPE_CHECKING:
    from meshkit.intent.release import Release

MOST_WORDS = 30
_MOST_NAMED = 4
_LEADS = {"mirror": "copies of requests", "cohort": "its cohort", "testers": "its testers"}
_NAMES = {
    "share": "the measured share",
    "data": "canary requests",
    "time": "time",
    "soak": "soak",
    "watch": "the watch",
    "requests": "requests",
    "harm": "less evidence of harm",
    "leak": "no leak",
    "latency": "a baseline",
    "input": "counts",
}


def of(
    action: Action,
    release: Release,
    evidence: Evidence,
    progress: Progress,
    conditions: Sequence[Condition],
    numbers: Mapping[str, float],
) -> str:
    """Return what happened, how sure that is, and what follows."""
    canary, stable = release.canary, release.stable
    if action == "continue" and evidence.refused:
        return held(evidence.refused)
    if action == "rollback":
        return _rolled_back(release, evidence, progress, conditions, numbers)
    if action == "undecided":
        then = "The weights stay." if release.at_deadline == "hold" else f"{stable} serves all requests."
        return f"Not decided by the deadline: neither harm nor its absence was shown. {then}"
    if action == "pause":
        return f"Paused: both versions break an objective. {canary} cannot be judged now. The shares stay."
    if action == "promote":
        return _promoted(release, progress, numbers)
    if progress.step < 0:
        return f"Measuring {stable}. {canary} gets no traffic yet."
    waiting = [_NAMES.get(c.name, c.name) for c in conditions if c.needed and not c.met]
    named = ", ".join(waiting[:_MOST_NAMED]) + (" and more" if len(waiting) > _MOST_NAMED else "")
    lead = release.lead_at(progress.step)
    now = f"{canary} gets {_LEADS[lead] if lead else percent(numbers['step_percent'])}."
    harm = f"Evidence of harm: {odds(numbers['harm'])}, limit {odds(numbers['harm_limit'])}."
    return f"{now} {harm} " + ("Held." if progress.held or not named else f"Waiting for {named}.")


def held(reason: str) -> str:
    """Say why the latest measurement does not count, cut to the length of a summary."""
    words, most = reason.split(), MOST_WORDS - 8
    return f"Held: {' '.join(words[:most])}{' ...' if len(words) > most else '.'} Nothing moves until then."


def _rolled_back(
    release: Release,
    evidence: Evidence,
    progress: Progress,
    conditions: Sequence[Condition],
    numbers: Mapping[str, float],
) -> str:
    canary, stable = release.canary, release.stable
    alone = progress.step == len(release.ladder) - 1
    parts = evidence.alone_parts if alone else evidence.harm_parts
    cause = max(parts, key=lambda name: parts[name])
    sure, edge = f"Evidence {odds(numbers['harm'])}.", evidence.worst_edge
    if any(c.name == "leak" and not c.met for c in conditions):
        what = f"{canary} has become worse since its promotion."
        sure = f"Wrong once in {numbers['leak_alarm_days']:.2g} days."
    elif cause.startswith("objective"):
        what = f"{canary} breaks your objective, {stable} keeps it."
    elif cause == "errors":
        now = numbers.get("alone_error_percent" if alone else "canary_error_percent", 0.0)
        usual = numbers.get("stable_error_percent", 0.0)
        what = f"{canary} fails more often than {stable}: {now:.3g} against {usual:.3g} %."
    elif alone or edge is None:
        what = f"{canary} is slower than {stable} was."
    else:
        change = worse(numbers.get("slower_low_percent"), numbers.get("slower_high_percent"))
        what = f"{canary} is slower: {evidence.yardstick.names[edge]} {change}."
    then = "The weights are frozen" if release.on_harm == "freeze" else f"{stable} serves all requests"
    return f"{what} {sure} {then}."


def _promoted(release: Release, progress: Progress, numbers: Mapping[str, float]) -> str:
    canary, stable = release.canary, release.stable
    if progress.step == len(release.ladder) - 1:
        watched = f"Watched for {seconds(numbers['watch_s'])} without harm." if release.watch_s else ""
        return f"{canary} serves all requests. {watched}".strip()
    if progress.step > release.deciding_step:
        return f"{canary} was watched without harm. It now gets all requests."
    if progress.step == release.deciding_step and not release.at_once:
        sure, after = f"{percent(numbers['confidence_percent'])} sure.", "It gets all requests."
        if release.keeps_stable:
            kept = percent(numbers["keep_percent"])
            after = f"{stable} keeps {kept} for {seconds(numbers['watch_s'])}."
        return f"{canary} stays within its margins of {stable}, {sure} {after}"
    lead = release.lead_at(progress.step)
    now = f"Stage {lead}" if lead else f"Step {percent(numbers['step_percent'])}"
    after = release.lead_at(progress.step + 1) or percent(numbers["next_percent"])
    return f"{now} has passed. No harm was seen ({odds(numbers['harm'])}). Next is {after}."
