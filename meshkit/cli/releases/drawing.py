"""The state of a release and the list of releases, drawn for a terminal with plain characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from meshkit.cli.output import columns
from meshkit.decide.formatting import count, odds, percent, seconds, stamp
from meshkit.decide.ladder import stage

if TYPE_CHECKING:
    from meshkit.decide.verdict import Condition, Verdict
    from meshkit.facts import ClusterRef
    from meshkit.operations.release.listing import ReleaseSummary
    from meshkit.operations.release.state.model import ReleaseState

_BAR = 40
_EVENTS = 5
_MARKS = {"done": "x", "now": ">", "bad": "!", "todo": " "}


def table(found: Sequence[ReleaseSummary], now_s: float) -> str:
    """Draw the list of releases."""
    from meshkit.operations.release.listing import HEADINGS

    return columns(HEADINGS, [tuple(map(_plain, one.cells(now_s))) for one in found])


def status(state: ReleaseState, cluster: ClusterRef, runner: str | None, now_s: float) -> str:
    """Draw a release: its share, ladder, evidence, time left and last events."""
    release = state.release
    lines = [
        f"{release.name}: {release.namespace}/{release.service}:{release.port}, "
        f"{release.stable} to {release.canary}, change {state.change_id}",
        f"{state.status.replace('_', ' ')} at {state.asked_percent:g} % on cluster {cluster}: "
        + " ".join(state.sentences),
        "",
        f"share   [{_bar(state.asked_percent)}] {percent(state.asked_percent)} for {release.canary}"
        + _measured(state),
        f"ladder  {_ladder(state)}",
        f"time    {', '.join(_times(state, now_s))}",
    ]
    if state.coverage is not None:
        lines.append(f"metrics {state.coverage}")
    if state.verdict is not None:
        lines += ["", *_evidence(state.verdict, state)]
    lines += [f"gate    {line}" for line in _gates(state)]
    if not state.ended:
        lines += ["", f"runner  {runner or 'none'}"]
    lines += ["", *_events(state)]
    return _plain("\n".join(lines))


def _plain(text: str) -> str:
    """Replace no-break spaces, which some terminals and programs do not know."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _bar(share: float) -> str:
    full = round(share / 100 * _BAR)
    return ("#" * max(full, 1 if share > 0 else 0)).ljust(_BAR, ".")


def _gates(state: ReleaseState) -> Iterator[str]:
    """The gates of the release, those that it has not reached too."""
    reached = {each.gate.name: each for each in state.gates}
    for gate in state.release.gates:
        what = f"{gate.name} before {gate.before:g} %, by {gate.by}"
        found = reached.get(gate.name)
        if found is None:
            yield f"{what}: not reached"
        elif found.answer == "waits":
            yield f"{what}: waited for since {stamp(found.since_s)}, expires {stamp(found.until_s)}"
        else:
            who = f" by {found.who}" if found.who else ""
            why = f": {found.why}" if found.why else ""
            yield f"{what}: {found.answer}{who} at {stamp(found.answered_s or 0.0)}{why}"


def _measured(state: ReleaseState) -> str:
    looks = state.step_looks[-5:]
    canary = sum(look.canary.requests for look in looks)
    requests = canary + sum(look.stable.requests for look in looks)
    return f", measured {percent(100 * canary / requests)}" if requests and state.step >= 0 else ""


def _ladder(state: ReleaseState) -> str:
    shown = []
    for index in range(len(state.release.ladder)):
        mark = _MARKS[_kind(state, index)]
        shown.append(f"[{mark}] {stage(state.release, index)}")
    return "  ".join(shown)


def _kind(state: ReleaseState, index: int) -> str:
    if index > state.step:
        return "todo"
    if index < state.step or state.status == "promoted":
        return "done"
    return "bad" if state.ended else "now"


def _times(state: ReleaseState, now_s: float) -> Iterator[str]:
    """How long it has run, how long it still takes at least, and when its deadline is."""
    release, until_s = state.release, state.ended_s or now_s
    yield f"{'ran' if state.ended else 'running'} {seconds(max(0.0, until_s - state.started_s))}"
    if state.ended:
        return
    if state.held:
        yield "held until a person resumes it; the deadline waits"
        return
    if state.stopped_s is not None:
        yield "the deadline waits for the gate"
        return
    yield f"at least {seconds(_least_s(state, now_s))} left"
    deadline_s = release.deadline_s + (release.watch_s if state.step > release.deciding_step else 0.0)
    left_s = deadline_s - state.elapsed_s(now_s)
    yield f"deadline in {seconds(left_s)}" if left_s > 0 else "past the deadline"


def _least_s(state: ReleaseState, now_s: float) -> float:
    """The shortest time to the end, if every later step takes the least that it may."""
    release = state.release
    watched = [release.watch_s] if release.keeps_stable or release.at_once else []
    lengths = [*map(release.least_s, range(release.deciding_step + 1)), *watched]
    later = lengths[max(state.step + 1, 0) :]
    present = lengths[state.step] if 0 <= state.step < len(lengths) else 0.0
    if state.step < 0:
        present = max(0.0, release.baseline_s - (now_s - state.started_s))
    elif state.agreed_s is not None:
        present = max(0.0, present - (now_s - state.agreed_s))
    return present + sum(later)


def _evidence(verdict: Verdict, state: ReleaseState) -> Iterator[str]:
    limit = odds(verdict.harm_limit)
    done = "frozen" if state.release.on_harm == "freeze" else "rolled back"
    yield f"harm    {odds(verdict.harm)}, {done} at {limit}"
    looks = state.step_looks
    if looks and state.step >= 0:
        for name, arms in (
            (state.release.stable, [look.stable for look in looks]),
            (state.release.canary, [look.canary for look in looks]),
        ):
            requests, errors = sum(arm.requests for arm in arms), sum(arm.errors for arm in arms)
            yield f"        {name}: {count(requests)} requests in this step, {count(errors)} failed"
    rows = [_row(condition) for condition in verdict.conditions]
    if rows:
        yield ""
        yield columns(("condition", "now", "limit", "met", "needed now"), rows)


def _row(condition: Condition) -> tuple[str, ...]:
    now, limit = f"{condition.value:.4g}", f"{condition.limit:.4g} {condition.unit}"
    return (
        condition.name,
        now,
        limit,
        "yes" if condition.met else "no",
        "yes" if condition.needed else "later",
    )


def _events(state: ReleaseState) -> Iterator[str]:
    for event in state.events[-_EVENTS:]:
        who = f" ({event.who})" if event.who else ""
        yield f"{stamp(event.at_s)}  {event.kind:8}{event.text}{who}"
