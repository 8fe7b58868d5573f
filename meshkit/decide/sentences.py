"""Sentences a person can act on: the effect, the requests and time behind it, the limit, and what happens
next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.decide.evidence import Evidence
from meshkit.decide.verdict import Action, Condition, Progress

if TYPE_CHECKING:
    from meshkit.intent.release import Release

_SPACE = "\N{NO-BREAK SPACE}"


def of(
    action: Action,
    release: Release,
    evidence: Evidence,
    progress: Progress,
    conditions: Sequence[Condition],
    numbers: Mapping[str, float],
) -> tuple[str, ...]:
    """What a verdict says, the most important sentence first."""
    last = len(release.steps) - 1
    if action == "rollback":
        return (effect(release, evidence, numbers), _harm(numbers, "so the release is rolled back"))
    if action == "undecided":
        then = "held" if release.at_deadline == "hold" else f"{release.stable} serves all requests"
        head = f"Not decided at the deadline of {seconds(release.deadline_s)}: {then}."
        return (head, *_open(release, conditions), requests(release, numbers))
    if action == "promote" and progress.step == last:
        why = "A person promoted it before the evidence did." if progress.forced else _within(release)
        head = f"{release.canary} serves all requests."
        return (head, why, requests(release, numbers), *_watched(release, numbers))
    if action == "promote" and progress.step == last - 1:
        return (_within(release), requests(release, numbers), _harm(numbers, "the limit of rolling back"))
    if action == "promote":
        after = release.steps[progress.step + 1]
        return (
            f"Step {percent(release.steps[progress.step])} has passed; next is {percent(after)}.",
            requests(release, numbers),
            _harm(numbers, "the limit of rolling back"),
        )
    return _continuing(release, progress, conditions, numbers)


def effect(release: Release, evidence: Evidence, numbers: Mapping[str, float]) -> str:
    """What is worse about the canary: failures, or the latency edge with the strongest evidence."""
    worst = evidence.worst_edge
    both = f"measured side by side for {seconds(numbers['compared_s'])}"
    if worst is None or evidence.harm_errors.log_evidence >= evidence.harm_slower[worst].log_evidence:
        canary = _of(numbers["canary_errors"], numbers["canary_requests"])
        stable = _of(numbers["stable_errors"], numbers["stable_requests"])
        return f"{release.canary} fails more often: {canary} failed, {release.stable} {stable}, {both}."
    canary = _of(numbers["canary_slower"], numbers["canary_timed"])
    stable = _of(numbers["stable_slower"], numbers["stable_timed"])
    return (
        f"{release.canary} is slower: {canary} took longer than {numbers['edge_ms']:.4g}{_SPACE}ms, "
        f"{release.stable} {stable}, {both}."
    )


def requests(release: Release, numbers: Mapping[str, float]) -> str:
    """How much was seen of either version, and for how long."""
    canary = _of(numbers["canary_errors"], numbers["canary_requests"])
    stable = _of(numbers["stable_errors"], numbers["stable_requests"])
    if not numbers["canary_requests"]:
        return f"{release.canary} has answered no request: no data is never success."
    return (
        f"{release.canary}: {canary} failed in {seconds(numbers['compared_s'])}; {release.stable}: {stable}."
    )


def seconds(value: float) -> str:
    """A duration for people: ``45 s``, ``4:30 min``."""
    if value < 120:
        return f"{value:.0f}{_SPACE}s"
    return f"{int(value) // 60}:{int(value) % 60:02d}{_SPACE}min"


def percent(value: float) -> str:
    """A percentage for people: ``0.5 %``."""
    return f"{value:g}{_SPACE}%"


def odds(value: float) -> str:
    """Evidence for people: ``14 : 1``."""
    shown = "> 999" if value > 999 else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
    return f"{shown}{_SPACE}:{_SPACE}1"


def condition(release: Release, found: Condition) -> str:
    """One condition with its state: ``p99 at most 10 % worse (3.1 : 1 of 20 : 1)``."""
    margins = release.margins
    if found.name == "share":
        return (
            "the measured share does not yet agree with the asked one"
            if not found.met
            else "the share agrees"
        )
    if found.name == "data":
        return f"{count(found.value)} canary requests in the latest look"
    if found.name in ("time", "watch"):
        return f"{found.name} {seconds(found.value)} of {seconds(found.limit)}"
    if found.name == "requests":
        return f"{count(found.value)} of {count(found.limit)} canary requests judged in this step"
    if found.name == "harm":
        return f"evidence of harm {odds(found.value)}, to be below {odds(found.limit)}"
    state = f"({odds(found.value)} of {odds(found.limit)})"
    if found.name == "errors":
        return f"errors at most {margins.error_points:+g} points {state}"
    if found.name == "latency":
        return "no latency was measured before the first weight"
    return f"{found.name} at most {percent(getattr(margins, found.name + '_percent'))} worse {state}"


def count(value: float) -> str:
    """A whole number with no-break spaces between thousands."""
    return f"{value:,.0f}".replace(",", _SPACE)


def _continuing(
    release: Release, progress: Progress, conditions: Sequence[Condition], numbers: Mapping[str, float]
) -> tuple[str, ...]:
    if progress.step < 0:
        return (f"Measuring {release.stable} before the first weight.",)
    head = f"Step {percent(release.steps[progress.step])}."
    if progress.held:
        head += " Held; the safety net stays on."
    net = _harm(numbers, "the release is rolled back there")
    return (head, *_open(release, conditions), requests(release, numbers), net)


def _open(release: Release, conditions: Sequence[Condition]) -> tuple[str, ...]:
    waiting = [condition(release, c) for c in conditions if c.needed and not c.met]
    return (f"Waiting for: {'; '.join(waiting)}.",) if waiting else ()


def _within(release: Release) -> str:
    m = release.margins
    return (
        f"{release.canary} stays within its margins of {release.stable}: "
        f"errors at most {m.error_points:+g} points, p50, p90 and p99 at most "
        f"{percent(m.p50_percent)}, {percent(m.p90_percent)} and {percent(m.p99_percent)} worse."
    )


def _watched(release: Release, numbers: Mapping[str, float]) -> tuple[str, ...]:
    if not release.watch_s:
        return ()
    return (
        f"Watched for {seconds(numbers['step_elapsed_s'])} without a stable version beside it: "
        "only gross decay would have shown.",
    )


def _harm(numbers: Mapping[str, float], then: str) -> str:
    return f"Evidence of harm is {odds(numbers['harm'])}; the limit is {odds(numbers['harm_limit'])}, {then}."


def _of(part: float, whole: float) -> str:
    share = f" ({100 * part / whole:.3g}{_SPACE}%)" if whole else ""
    return f"{count(part)} of {count(whole)}{share}"
