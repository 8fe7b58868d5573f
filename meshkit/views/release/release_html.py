"""A release as pieces of HTML: title, ladder, verdict, evidence, journal. Pure functions of a ReleaseState.

The panel, the report and the demo's page are put together from these, so a release looks the same in each.
The pieces keep their heights whatever the state, so that nothing jumps while a release runs.
"""

from __future__ import annotations

import html
import math
import time
from typing import TYPE_CHECKING

from meshkit.decide import formatting as words
from meshkit.views.icons import icon

if TYPE_CHECKING:
    from meshkit.decide.verdict import Condition, Verdict
    from meshkit.intent.release import Release
    from meshkit.operations.release.state import ReleaseEvent, ReleaseState

JOURNAL_LINES = 6
STATUS = {
    "measuring": ("running", "Measuring stable"),
    "shifting": ("running", "Shifting"),
    "watching": ("running", "Running"),
    "paused": ("warn", "Paused: shared cause"),
    "held": ("waiting", "Held"),
    "promoted": ("good", "Promoted"),
    "rolled_back": ("bad", "Rolled back"),
    "undecided": ("warn", "Undecided"),
}
"""Icon and words of each status of a release."""
NEAR = 2.0
"""Evidence of harm from which the verdict block turns red while the release still runs."""
_EVENT_ICONS = {
    "begin": "person",
    "weights": "shift",
    "agreed": "good",
    "command": "person",
    "note": "note",
}
_CONDITIONS = {
    "share": "Measured share agrees",
    "time": "Time at this step",
    "watch": "Watched after promotion",
    "soak": "Both compared",
    "leak": "No slow leak",
    "requests": "Canary requests at this step",
    "harm": "Harm stays below 2 : 1",
    "data": "The canary answers",
    "latency": "Latency before the start",
}


def head(release: Release, where: str, state: ReleaseState | None, note: str = "") -> str:
    """The title line: what is released where, and the state in a pill."""
    shape, said = STATUS[state.status] if state else ("todo", "Not started")
    if state and state.status in ("shifting", "watching"):
        said = f"{said}, step {state.step + 1} of {len(release.ladder)}"
    tone = f" mk-{shape}" if shape in ("good", "bad", "warn") else ""
    return (
        '<div class="mk-head mk-title"><div>'
        f"<h1>Canary release of {html.escape(release.service)}</h1>"
        f'<div class="mk-muted">{icon("stable")} stable {html.escape(release.stable)} &nbsp; '
        f"{icon('canary')} canary {html.escape(release.canary)} · "
        f"namespace {html.escape(release.namespace)} · {html.escape(where)}</div></div>"
        f'<div class="mk-nowrap"><span class="mk-muted">{html.escape(note)}</span> '
        f'<span class="mk-chip{tone}">{icon(shape)}{html.escape(said)}</span></div></div>'
    )


def ladder(release: Release, state: ReleaseState | None) -> str:
    """The steps as an ordered list: done, present, to come."""
    items = []
    for index, percent in enumerate(release.ladder):
        kind = _step_kind(index, release, state)
        current = ' aria-current="step"' if kind == "now" else ""
        said = html.escape(_step_words(index, kind, release, state))
        items.append(
            f'<li class="mk-step mk-step-{kind}"{current}>{_step_mark(kind)}'
            f'<strong>{words.percent(percent)}</strong><span class="mk-muted">{said}</span></li>'
        )
    return f'<ol class="mk-ladder">{"".join(items)}</ol>'


def verdict(state: ReleaseState | None) -> str:
    """The block that says where the release stands and what happens next by itself."""
    if state is None:
        return _block(
            "note", "waiting", "No release has been started.", "Move traffic by hand, or start the release."
        )
    tone, shape = _tone(state)
    first, *rest = state.sentences
    title = {"promoted": "Promoted. ", "rolled_back": "Rolled back. "}.get(state.status, "")
    return _block(tone, shape, title + first, " ".join(rest))


def evidence(state: ReleaseState | None) -> str:
    """Two cards: the odds that the canary does harm, and what the present step waits for."""
    found = state.verdict if state else None
    return f'<div class="mk-side">{_harm_card(found)}{_conditions_card(found, state)}</div>'


def journal(state: ReleaseState | None, *, lines: int | None = JOURNAL_LINES, note: str = "") -> str:
    """What happened, the newest first; a fixed number of lines, or (None) all of them."""
    events = list(reversed(state.events)) if state else []
    shown = events if lines is None else events[:lines]
    rows = [_journal_row(state, event) for event in shown if state]
    rows += ['<li class="mk-row">&nbsp;</li>'] * ((lines or 0) - len(rows))
    listed = f'<ul class="mk-journal" role="log">{"".join(rows)}</ul>'
    return _card(_both("<h3>Journal</h3>", html.escape(note), muted=True), listed)


def clock_utc(at_s: float) -> str:
    """The time of day in UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(at_s))


def _step_kind(index: int, release: Release, state: ReleaseState | None) -> str:
    if state is None or index > state.step:
        return "todo"
    if state.status == "rolled_back" and index == state.step:
        return "bad"
    if index < state.step or state.status == "promoted":
        return "done"
    return "now"


def _step_mark(kind: str) -> str:
    return {"done": icon("good"), "bad": icon("bad"), "todo": icon("todo")}.get(
        kind, '<i class="mk-ring"></i>'
    )


def _step_words(index: int, kind: str, release: Release, state: ReleaseState | None) -> str:
    if state is None or kind == "todo":
        if index <= release.deciding_step:
            return f"at least {words.seconds(release.step_s)}"
        return f"watched {words.seconds(release.watch_s)}" if index < len(release.ladder) - 1 else ""
    looks = [judged.look for judged in state.looks if judged.look.step == index]
    if not looks:
        return ""
    requests = sum(look.canary.requests for look in looks)
    return f"{words.seconds(looks[-1].end_s - looks[0].start_s)}, {words.count(requests)} requests"


def _tone(state: ReleaseState) -> tuple[str, str]:
    if state.status in ("promoted", "rolled_back", "undecided"):
        shape = STATUS[state.status][0]
        return shape, shape
    if state.status == "paused":
        return "warn", "warn"
    if state.verdict and state.verdict.harm >= NEAR:
        return "bad", "bad"
    return "note", "waiting"


def _block(tone: str, shape: str, headline: str, detail: str) -> str:
    return (
        f'<div class="mk-verdict mk-{tone}" role="status" aria-live="polite">{icon(shape)}'
        f"<div><strong>{html.escape(headline)}</strong><span>{html.escape(detail)}</span></div></div>"
    )


def _harm_card(found: Verdict | None) -> str:
    limit, harm = (found.harm_limit, found.harm) if found else (20.0, 0.0)
    return _card(
        _both("<h3>Evidence of harm</h3>", f"rolls back at {words.odds(limit)}", muted=True),
        _both("The canary does harm", f"<strong>{words.odds(harm) if found else '–'}</strong>"),
        _bar(harm, limit, 100.0, "mk-harm"),
    )


def _conditions_card(found: Verdict | None, state: ReleaseState | None) -> str:
    conditions = found.conditions if found else ()
    met = f"{sum(c.met for c in conditions)} of {len(conditions)} met" if conditions else ""
    rows = "".join(_condition_row(c, state) for c in conditions)
    return _card(
        _both("<h3>Evidence toward the next step</h3>", met, muted=True),
        rows or '<p class="mk-muted">Nothing is measured yet.</p>',
    )


def _card(*parts: str) -> str:
    return f'<div class="mk-card">{"".join(parts)}</div>'


def _both(left: str, right: str, *, muted: bool = False) -> str:
    """One line with something at either end."""
    kind = "mk-nowrap mk-muted" if muted else "mk-nowrap"
    return f'<div class="mk-head"><span>{left}</span><span class="{kind}">{right}</span></div>'


def _condition_row(condition: Condition, state: ReleaseState | None) -> str:
    shape = "good" if condition.met else "waiting" if condition.needed else "todo"
    label = _CONDITIONS.get(condition.name) or _margin_words(condition.name, state)
    muted = "" if condition.needed else ' class="mk-muted"'
    below = condition.name == "harm"
    bar = _bar(
        condition.value, condition.limit, 80.0, "mk-harm" if below and not condition.met else "mk-odds"
    )
    if not condition.unit.startswith(": 1"):
        bar = _plain_bar(condition.value, condition.limit)
    line = _both(f"<span{muted}>{icon(shape)} {html.escape(label)}</span>", _condition_value(condition))
    return f'<div class="mk-condition">{line}{bar}</div>'


def _margin_words(name: str, state: ReleaseState | None) -> str:
    if state is None:
        return name
    margins = state.release.margins
    if name == "errors":
        return f"Errors at most {margins.error_points:+g} points"
    return f"{name} at most {words.percent(getattr(margins, f'{name}_percent'))} worse"


def _condition_value(condition: Condition) -> str:
    if condition.name in ("share", "leak"):
        return "yes" if condition.met else "not yet" if condition.name == "share" else "no"
    if condition.unit == "s":
        return f"{condition.value:.0f} of {words.seconds(condition.limit)}"
    if condition.unit == "requests":
        return f"{words.count(condition.value)} of {words.count(condition.limit)}"
    return f"{words.odds(condition.value).split(chr(160))[0]} of {words.odds(condition.limit)}"


def _bar(value: float, limit: float, limit_at_percent: float, kind: str) -> str:
    """A bar on a log scale from 1 : 1; the limit's tick stands at ``limit_at_percent`` of the track."""
    length = math.log(value) / math.log(limit) * limit_at_percent if value > 1 and limit > 1 else 0.0
    return _track(min(length, 100.0), limit_at_percent, kind)


def _plain_bar(value: float, limit: float) -> str:
    return _track(min(80 * value / limit, 100.0) if limit else 80.0, 80.0, "mk-odds")


def _track(percent: float, tick_percent: float, kind: str) -> str:
    return (
        f'<div class="mk-track" aria-hidden="true"><i class="{kind}" style="width:{percent:.1f}%"></i>'
        f'<b style="left:calc({tick_percent:.0f}% - 2px)"></b></div>'
    )


def _journal_row(state: ReleaseState, event: ReleaseEvent) -> str:
    shape = (
        STATUS[state.status][0]
        if event.kind == "end" and state.ended
        else _EVENT_ICONS.get(event.kind, "note")
    )
    who = f" by {event.who}" if event.who else ""
    return (
        f'<li class="mk-row"><span class="mk-muted">{clock_utc(event.at_s)}</span> {icon(shape)} '
        f"{html.escape(_event_words(event) + who)}</li>"
    )


def _event_words(event: ReleaseEvent) -> str:
    prefix = {"weights": "Weight ", "begin": "Started: ", "command": "Command: ", "agreed": "Share "}
    return prefix.get(event.kind, "") + event.text
