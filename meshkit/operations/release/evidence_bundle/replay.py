"""Recompute the verdicts of a release from its records, without a cluster and without a clock.

The loop judges a window as the journal has it, by the functions of this module. So the same records give the
same verdicts anywhere, with the same version of meshkit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.decide.admission.unreached import ReadyPods
from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.ladder import next_step
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.operations.release.baseline import enough
from meshkit.operations.release.gates import waiting
from meshkit.operations.release.state.fold import BEGIN, after, begun
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.weights import same_percent

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Replay:
    """What the records of a release say: its last state, how many verdicts were recomputed, and problems.

    ``problems`` has the number of a record and what is wrong with it.
    """

    state: ReleaseState
    verdicts: int
    problems: tuple[tuple[int, str], ...]


def evidence_of(state: ReleaseState) -> Evidence:
    """The evidence after all sample windows of a release so far."""
    evidence = Evidence.start(yardstick_of(state))
    for judged in state.looks:
        evidence = evidence.updated(judged.look)
    return evidence


def yardstick_of(state: ReleaseState) -> Yardstick:
    """What counts as worse, by the baseline as far as it is known."""
    return Yardstick.of(state.baseline or Baseline(()), state.release)


def progress_of(state: ReleaseState, look: SampleWindow, at_s: float) -> Progress:
    """The progress of a release before a window that is judged at ``at_s``."""
    agreed_s = None if state.agreed_s is None else look.end_s - state.agreed_s
    return Progress(state.step, agreed_s, state.elapsed_s(at_s), state.held, state.forced)


def replayed(records: Sequence[Record]) -> Replay | None:
    """Recompute every verdict, and check that each change of weights follows from one or from a command.

    Records that a runner wrote after another had taken over are not part of the release. Returns None if the
    release does not begin.
    """
    state: ReleaseState | None = None
    evidence: Evidence | None = None
    verdicts = 0
    problems: list[tuple[int, str]] = []
    for number, record in _counted(records):
        if state is None or evidence is None:
            state = begun(record)
            evidence = evidence_of(state)
            continue
        kind = record.get("kind")
        if kind == "look":
            evidence, problem = _judged_again(state, evidence, record)
            verdicts += 1
        else:
            problem = _unfounded(state, record)
        if problem:
            problems.append((number, problem))
        state = after(state, record)
        if kind == "baseline":
            evidence = evidence.against(yardstick_of(state))
    return Replay(state, verdicts, tuple(problems)) if state is not None else None


def _counted(records: Sequence[Record]) -> Iterator[tuple[int, Record]]:
    """The records from the first on that count, with their numbers."""
    newest: int | None = None
    for number, record in enumerate(records):
        if newest is None:
            if record.get("kind") != BEGIN:
                continue
            newest = int(record.get("writer", 0))
        writer = int(record.get("writer", newest))
        if writer >= newest:
            newest = writer
            yield number, record


def _judged_again(state: ReleaseState, evidence: Evidence, record: Record) -> tuple[Evidence, str]:
    """The evidence after one more window, and how its verdict differs from the recorded one."""
    look = SampleWindow.from_record(record["look"])
    evidence = evidence.updated(look)
    verdict = judge(evidence, state.release, progress_of(state, look, record["at_s"]))
    again = json.loads(json.dumps(verdict.as_record()))
    written = record["verdict"]
    if again == written:
        return evidence, ""
    for name, value in again.items():
        if written.get(name) != value:
            return evidence, f"the verdict's {name} is {written.get(name)!r}; the samples give {value!r}"
    return evidence, f"the verdict has fields that no verdict has: {sorted(written.keys() - again.keys())}"


def _unfounded(state: ReleaseState, record: Record) -> str:
    """Why a change of weights, or the end, does not follow from the records before it."""
    action = state.verdict.action if state.verdict else ""
    release = state.release
    if record.get("kind") == "weights":
        step, percent = record["step"], record["asked_percent"]
        asked = state.wanted == "promote"
        expected = len(release.ladder) - 1 if asked else next_step(release.ladder, state.step)
        if step != expected or not same_percent(percent, release.ladder[step]):
            return f"step {step} at {percent:g} % does not follow step {state.step}"
        first = state.step < 0 and state.baseline is not None
        if not (asked or first or action == "promote"):
            return f"the weights were changed, but the last verdict is {action!r}"
        last = release.at_once and step == len(release.ladder) - 1
        if last and not asked and not enough(ReadyPods(*record.get("ready", ()))):
            return f"all requests were shifted at once without enough ready pods of {release.canary}"
        if not asked and (shut := waiting.closed(state.gates, release, step)):
            return f"the weights were changed, but gate {shut[0].name} was not open"
    if record.get("kind") == "end":
        result = record["result"]
        last = state.step == len(release.ladder) - 1
        if result == "promoted" and not ((action == "promote" or state.wanted == "end") and last):
            return f"it says promoted, but the last verdict is {action!r} at step {state.step}"
        harmed = action == "rollback" and release.on_harm == "rollback"
        founded = harmed or state.wanted == "rollback" or waiting.giving_back(state.gates)
        founded = founded or state.decided == result
        if result == "rolled_back" and not founded:
            return f"it says rolled back, but the last verdict is {action!r} and nobody asked for it"
    return ""
