"""A release as pieces of HTML: title, ladder, verdict, evidence, journal. Pure functions of a ReleaseState.

The panel, the report and the demo page use these pieces, so a release looks the same in each.
The height of a piece does not depend on the state, so that nothing moves while a release runs.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from markupsafe import Markup

from meshkit.decide import formatting as words
from meshkit.decide.ladder import stage
from meshkit.views.icons import icon
from meshkit.views.release import differences_html

if TYPE_CHECKING:
    from meshkit.decide.verdict import Condition, Verdict
    from meshkit.intent.release import Release
    from meshkit.operations.release.state.model import ReleaseEvent, ReleaseState

JOURNAL_LINES = 6
_SPACE = "\N{NO-BREAK SPACE}"
STATUS = {
    "measuring": ("running", "Measuring stable"),
    "shifting": ("running", "Shifting"),
    "watching": ("running", "Running"),
    "paused": ("warn", "Paused: shared cause"),
    "waiting": ("waiting", "Waits for a gate"),
    "held": ("waiting", "Held"),
    "frozen": ("warn", "Frozen: a person decides"),
    "promoted": ("good", "Promoted"),
    "rolled_back": ("bad", "Rolled back"),
    "undecided": ("warn", "Undecided"),
}
"""Icon and words of each status of a release."""
NEAR = 2.0
"""Evidence of harm from which the verdict block turns red while the release still runs."""
DETAILS = "Details: counts, limits, and what the error rate covers"
"""The words that unfold the details of a verdict."""
_EVENT_ICONS = {
    "begin": "person",
    "weights": "shift",
    "agreed": "good",
    "command": "person",
    "gate": "person",
    "note": "note",
}
_EVENT_WORDS = {
    "weights": "Weight ",
    "begin": "Started: ",
    "command": "Command: ",
    "agreed": "Share ",
    "gate": "Gate: ",
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
    "input": "The counts can be true",
    "latency": "Latency before the start",
}


def head(release: Release, where: str, state: ReleaseState | None, note: str = "") -> Markup:
    """The title line: the service, its versions, the cluster, and the state of the release."""
    shape, said = STATUS[state.status] if state else ("todo", "Not started")
    if state and state.status in ("shifting", "watching"):
        said = f"{said}, step {state.step + 1} of {len(release.ladder)}"
    tone = f" mk-{shape}" if shape in ("good", "bad", "warn") else ""
    return Markup(
        '<div class="mk-head mk-title"><div>'
        "<h1>Canary release of {service}</h1>"
        '<div class="mk-muted">{stable_icon} stable {stable} &nbsp; {canary_icon} canary {canary} · '
        "namespace {namespace} · {where}</div></div>"
        '<div class="mk-nowrap"><span class="mk-muted">{note}</span> '
        '<span class="mk-chip{tone}">{state_icon}{said}</span></div></div>'
    ).format(
        service=release.service,
        stable_icon=icon("stable"),
        stable=release.stable,
        canary_icon=icon("canary"),
        canary=release.canary,
        namespace=release.namespace,
        where=where,
        note=note,
        tone=tone,
        state_icon=icon(shape),
        said=said,
    )


def ladder(release: Release, state: ReleaseState | None) -> Markup:
    """The steps as an ordered list: done, current and future."""
    items = []
    for index in range(len(release.ladder)):
        kind = _step_kind(index, release, state)
        current = Markup(' aria-current="step"') if kind == "now" else ""
        said = _step_words(index, kind, release, state)
        items.append(
            Markup(
                '<li class="mk-step mk-step-{}"{}>{}<strong>{}</strong><span class="mk-muted">{}</span></li>'
            ).format(kind, current, _step_mark(kind), stage(release, index), said)
        )
    return Markup('<ol class="mk-ladder">{}</ol>').format(Markup("").join(items))


def verdict(state: ReleaseState | None, *, folded: bool = True) -> Markup:
    """The block with the present result in one short sentence, and its details, which unfold.

    Without ``folded`` the details are left out, for a page that shows ``details`` elsewhere.
    """
    if state is None:
        hint = Markup("<span>{}</span>").format("Move traffic by hand, or start the release.")
        return _block("note", "waiting", "No release has been started.", hint)
    tone, shape = _tone(state)
    title = {"promoted": "Promoted. ", "rolled_back": "Rolled back. "}.get(state.status, "")
    unfolding = Markup("")
    if folded and (found := details(state)):
        unfolding = Markup("<details><summary>{}</summary>{}</details>").format(DETAILS, found)
    return _block(tone, shape, title + state.sentences[0], unfolding)


def details(state: ReleaseState | None) -> Markup:
    """The sentences behind the verdict and what its error rate covers, as a list; empty if there are none."""
    if state is None:
        return Markup("")
    lines = list(state.sentences[1:])
    if lines and state.verdict and state.verdict.label:
        lines.append(f"What the error rate covers: {state.verdict.label}.")
    if lines and state.coverage:
        lines.append(f"Metrics of the latest window: {state.coverage}.")
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in lines)
    return Markup('<ul class="mk-why">{}</ul>').format(items) if lines else Markup("")


def evidence(state: ReleaseState | None) -> Markup:
    """Two cards: the evidence that the canary does harm, and the conditions of the present step."""
    found = state.verdict if state else None
    cards = _harm_card(found, state), _conditions_card(found, state)
    return Markup('<div class="mk-side">{}{}</div>').format(*cards)


def against_stable(release: Release, state: ReleaseState | None) -> Markup:
    """The card with the differences between the versions and their limits; its height is always the same."""
    confidence = words.percent(100 * release.margins.confidence)
    return _card(
        _both(Markup("<h2>Canary against stable</h2>"), f"{confidence} intervals", muted=True),
        differences_html.drawn(release, state.verdict if state else None),
    )


def journal(state: ReleaseState | None, *, lines: int | None = JOURNAL_LINES, note: str = "") -> Markup:
    """The events of the release, the newest first: a fixed number of lines, or all of them for ``None``."""
    events = list(reversed(state.events)) if state else []
    shown = events if lines is None else events[:lines]
    rows = [_journal_row(state, event) for event in shown if state]
    rows += [Markup('<li class="mk-row">&nbsp;</li>')] * ((lines or 0) - len(rows))
    listed = Markup('<div role="log"><ul class="mk-journal">{}</ul></div>').format(Markup("").join(rows))
    return _card(_both(Markup("<h2>Journal</h2>"), note, muted=True), listed)


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


def _step_mark(kind: str) -> Markup:
    return {"done": icon("good"), "bad": icon("bad"), "todo": icon("todo")}.get(
        kind, Markup('<i class="mk-ring"></i>')
    )


def _step_words(index: int, kind: str, release: Release, state: ReleaseState | None) -> str:
    if state is None or kind == "todo":
        if index <= release.deciding_step:
            return f"at least {words.seconds(release.least_s(index))}"
        watched = index < len(release.ladder) - 1 or release.at_once
        return f"watched {words.seconds(release.watch_s)}" if watched else ""
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


def _block(tone: str, shape: str, headline: str, detail: Markup) -> Markup:
    return Markup(
        '<div class="mk-verdict mk-{}" role="status" aria-live="polite">{}'
        "<div><strong>{}</strong>{}</div></div>"
    ).format(tone, icon(shape), headline, detail)


def _harm_card(verdict: Verdict | None, state: ReleaseState | None) -> Markup:
    acts = "freezes" if state and state.release.on_harm == "freeze" else "rolls back"
    limit, harm = (verdict.harm_limit, verdict.harm) if verdict else (20.0, 0.0)
    return _card(
        _both(
            Markup("<h2>Evidence of harm</h2>"),
            f"{acts} at {words.odds(limit)}",
            muted=True,
        ),
        _both(
            "The canary does harm", Markup("<strong>{}</strong>").format(words.odds(harm) if verdict else "–")
        ),
        _bar(harm, limit, 100.0, "mk-harm"),
    )


def _conditions_card(verdict: Verdict | None, state: ReleaseState | None) -> Markup:
    conditions = verdict.conditions if verdict else ()
    met = f"{sum(c.met for c in conditions)} of {len(conditions)} met" if conditions else ""
    rows = Markup("").join(_condition_row(c, state) for c in conditions)
    return _card(
        _both(Markup("<h2>Evidence toward the next step</h2>"), met, muted=True),
        rows or Markup('<p class="mk-muted">Nothing is measured yet.</p>'),
    )


def _card(*parts: Markup) -> Markup:
    return Markup('<div class="mk-card">{}</div>').format(Markup("").join(parts))


def _both(left: str, right: str, *, muted: bool = False) -> Markup:
    """One line with texts at both ends."""
    kind = "mk-nowrap mk-muted" if muted else "mk-nowrap"
    return Markup('<div class="mk-head"><span>{}</span><span class="{}">{}</span></div>').format(
        left, kind, right
    )


def _condition_row(condition: Condition, state: ReleaseState | None) -> Markup:
    shape = "good" if condition.met else "waiting" if condition.needed else "todo"
    label = condition_words(condition, state)
    muted = "" if condition.needed else Markup(' class="mk-muted"')
    below = condition.name == "harm"
    bar = _bar(
        condition.value, condition.limit, 80.0, "mk-harm" if below and not condition.met else "mk-odds"
    )
    if not condition.unit.startswith(": 1"):
        bar = _plain_bar(condition.value, condition.limit)
    name = Markup("<span{}>{} {}</span>").format(muted, icon(shape), label)
    line = _both(name, condition_value(condition))
    return Markup('<div class="mk-condition">{}{}</div>').format(line, bar)


def condition_words(condition: Condition, state: ReleaseState | None) -> str:
    """What a condition asks for."""
    return _CONDITIONS.get(condition.name) or _margin_words(condition.name, state)


def _margin_words(name: str, state: ReleaseState | None) -> str:
    if state is None:
        return name
    margins = state.release.margins
    if name == "errors":
        return f"Errors at most {margins.error_points:+g} points"
    return f"{name} at most {words.percent(getattr(margins, f'{name}_percent'))} worse"


def condition_value(condition: Condition) -> str:
    """How far a condition is, beside its limit; without the limit where it asks for nothing."""
    value, limit = condition.value, condition.limit
    if condition.name in ("share", "data", "leak", "input"):
        return "yes" if condition.met else "not yet" if condition.name in ("share", "data") else "no"
    if condition.unit == "s":
        found, wanted = words.seconds(value), words.seconds(limit)
        if not limit:
            return found
        same_unit = found.rpartition(_SPACE)[2] == wanted.rpartition(_SPACE)[2]
        return f"{found.rpartition(_SPACE)[0] if same_unit else found} of {wanted}"
    if condition.unit == "requests":
        return f"{words.count(value)} of {words.count(limit)}" if limit else words.count(value)
    return f"{words.odds_number(value)} of {words.odds(limit)}"


def _bar(value: float, limit: float, limit_at_percent: float, kind: str) -> Markup:
    """A bar on a log scale from 1 : 1; the limit's tick is at ``limit_at_percent`` of the track."""
    length = math.log(value) / math.log(limit) * limit_at_percent if value > 1 and limit > 1 else 0.0
    return _track(min(length, 100.0), limit_at_percent, kind)


def _plain_bar(value: float, limit: float) -> Markup:
    return _track(min(80 * value / limit, 100.0) if limit else 80.0, 80.0, "mk-odds")


def _track(percent: float, tick_percent: float, kind: str) -> Markup:
    return Markup(
        '<div class="mk-track" aria-hidden="true"><i class="{}" style="width:{:.1f}%"></i>'
        '<b style="left:calc({:.0f}% - 2px)"></b></div>'
    ).format(kind, percent, tick_percent)


def _journal_row(state: ReleaseState, event: ReleaseEvent) -> Markup:
    shape = (
        STATUS[state.status][0]
        if event.kind == "end" and state.ended
        else _EVENT_ICONS.get(event.kind, "note")
    )
    who = f" by {event.who}" if event.who else ""
    return Markup('<li class="mk-row"><span class="mk-muted">{}</span> {} {}</li>').format(
        clock_utc(event.at_s), icon(shape), _event_words(event) + who
    )


def _event_words(event: ReleaseEvent) -> str:
    prefix = {
        "weights": "Weight ",
        "begin": "Started: ",
        "command": "Command: ",
        "agreed": "Share ",
        "gate": "Gate: ",
    }
    return prefix.get(event.kind, "") + event.text
