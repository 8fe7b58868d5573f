"""The guided setup as HTML: stages, findings, evidence, progress. Pure functions of a SetupSnapshot.

The wizard, the reports of runbooks and the outputs for readers without a kernel use these pieces.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup, escape

from meshkit.operations.setup.stages import STAGES
from meshkit.views.code_link import code_link
from meshkit.views.icons import icon
from meshkit.views.plan_html import card
from meshkit.views.report import STYLE

if TYPE_CHECKING:
    from meshkit.facts import ClusterRef, Finding
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.guide import SetupSnapshot
    from meshkit.operations.setup.stages import Stage
    from meshkit.operations.setup.status import StageStatus, Table

_WORDS = {"error": ("bad", "error"), "warning": ("warn", "warning"), "info": ("note", "note")}
_CODE = re.compile(
    r"(--?[a-z][\w-]*|\b(?!req/)[a-z0-9-]+/[a-z0-9.-]*[a-z0-9]\b|\bkubectl [^.]+|'meshkit [^']+')"
)
LOG_LINES = 200
STEPS_SHOWN = 7


@dataclass(frozen=True)
class ProgressLine:
    """One step while a plan runs: its words, its state, and how long it took so far in seconds."""

    words: str
    state: Literal["todo", "running", "good", "bad", "waiting"]
    seconds: float | None = None


def stage_icon(status: StageStatus) -> str:
    """The name of the icon for a stage's status."""
    if status.state == "done":
        return "warn" if any(f.severity != "info" for f in status.findings) else "good"
    return {"ready": "running", "blocked": "todo", "attention": "warn"}[status.state]


def state_words(status: StageStatus) -> str:
    """The status in words, for users who do not see the icon."""
    if status.state == "done" and stage_icon(status) == "warn":
        return "done, with warnings"
    return {"done": "done", "ready": "ready", "blocked": "to do", "attention": "needs attention"}[
        status.state
    ]


def head(mesh_title: str, cluster: ClusterRef, namespace: str, note: str) -> Markup:
    """The title, with the mesh, the cluster and the namespace."""
    where = f"{mesh_title} · namespace {namespace} · {cluster}"
    return Markup(
        '<div class="mk-title"><h1>Set up the mesh</h1><div class="mk-muted">{} · {}</div></div>'
    ).format(where, note)


def position(number: int, status: StageStatus) -> Markup:
    """The number of the stage and of all stages, in a pill."""
    return Markup('<span class="mk-chip">{}Stage {} of {}</span>').format(
        icon(stage_icon(status)), number, len(STAGES)
    )


def stage_row(number: int, stage: Stage, status: StageStatus, *, selected: bool) -> Markup:
    """One line of the list at the left; hidden from screen readers, which read the button above it."""
    return Markup(
        '<div class="mk-stage-row{}" aria-hidden="true">{}<div><span>{}. {}</span>'
        '<span class="mk-muted">{}</span></div></div>'
    ).format(
        " mk-stage-now" if selected else "",
        icon(stage_icon(status)),
        number,
        stage.title,
        status.summary,
    )


def explanation(number: int, stage: Stage, namespace: str) -> Markup:
    """The purpose of the stage."""
    why = escape(stage.why).replace("{namespace}", Markup("<code>{}</code>").format(namespace))
    return Markup('<h2 class="mk-stage-title">{}. {}</h2><p class="mk-why">{}</p>').format(
        number, stage.title, why
    )


def findings_card(status: StageStatus, taken_s: float) -> Markup:
    """The findings of the checks, worst first."""
    order = ("error", "warning", "info")
    found = sorted(status.findings, key=lambda finding: order.index(finding.severity))
    counts = ", ".join(
        f"{n} {word}{'' if n == 1 else 's'}"
        for severity, (_, word) in _WORDS.items()
        if (n := sum(finding.severity == severity for finding in found)) or severity != "info"
    )
    if not found:
        body = Markup('<p class="mk-none">{} No findings.</p>').format(icon("good"))
    else:
        body = Markup(
            '<table class="mk-findings"><tr><th>severity</th><th>what, and what to do</th>'
            '<th class="mk-number">code</th></tr>{}</table>'
        ).format(Markup("").join(map(_finding_row, found)))
    return card("Findings", f"{counts} · read {clock(taken_s)}", body)


def _finding_row(finding: Finding) -> Markup:
    shape, word = _WORDS[finding.severity]
    return Markup(
        '<tr><td class="mk-nowrap mk-{}">{} {}</td><td><strong>{}</strong><br>{}'
        '<br><span class="mk-remedy">{}</span></td><td class="mk-number">{}</td></tr>'
    ).format(
        shape,
        icon(shape),
        word,
        finding.object,
        _with_code(finding.message),
        _with_code(finding.remedy),
        code_link(finding),
    )


def _with_code(sentence: str) -> Markup:
    """A sentence with its names and commands in code font."""
    pieces = enumerate(_CODE.split(sentence))
    return Markup("").join(
        Markup("<code>{}</code>").format(text) if index % 2 else text for index, text in pieces
    )


def tables(status: StageStatus) -> Markup:
    """The tables of a stage, such as callers by link and workloads by injection."""
    return Markup("").join(map(_table_card, status.tables))


def _table_card(table: Table) -> Markup:
    numbers = {index for index, name in enumerate(table.columns) if name.startswith(("req/s", "in "))}
    classes = [Markup(" class=mk-number") if i in numbers else "" for i in range(len(table.columns))]
    head = _cells(Markup("<th{}>{}</th>"), classes, table.columns)
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(_cells(Markup("<td{}>{}</td>"), classes, _with_icon(tone, cells)))
        for tone, cells in table.rows
    )
    body = Markup('<table class="mk-evidence"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(
        head, rows
    )
    return card(table.title, table.note, body)


def _cells(template: Markup, classes: Sequence[str], texts: Sequence[str]) -> Markup:
    return Markup("").join(template.format(*pair) for pair in zip(classes, texts, strict=True))


def _with_icon(tone: str, cells: Sequence[str]) -> Sequence[str]:
    """The cells of a row, the first behind an icon."""
    return [Markup("{} {}").format(icon(tone), cells[0]), *cells[1:]]


def progress_card(lines: Sequence[ProgressLine], log: Sequence[str], note: str) -> Markup:
    """A bar, the steps around the present one, and the log."""
    done = sum(line.state == "good" for line in lines)
    share = 100 * done / len(lines) if lines else 0
    bar = Markup(
        '<div class="mk-track mk-bar" role="img" aria-label="{} of {} done">'
        '<i style="width:{:.0f}%"></i></div>'
    ).format(done, len(lines), share)
    first = max(0, min(done - 2, len(lines) - STEPS_SHOWN))
    shown = lines[first : first + STEPS_SHOWN]
    steps = Markup("").join(map(_progress_row, shown))
    if len(lines) > STEPS_SHOWN:
        steps += Markup('<li class="mk-muted">steps {} to {} of {}</li>').format(
            first + 1, first + len(shown), len(lines)
        )
    said = "\n".join(log[-LOG_LINES:]) or "Nothing has been changed yet. The log starts with Apply."
    body = Markup(
        '{}<ol class="mk-progress">{}</ol><pre class="mk-log" role="log" tabindex="0">{}</pre>'
    ).format(bar, steps, said)
    return card("Progress", note, body)


def _progress_row(line: ProgressLine) -> Markup:
    took = "" if line.seconds is None else f"{line.seconds:.1f} s"
    muted = " mk-todo" if line.state == "todo" else ""
    return Markup(
        '<li class="mk-progress-row{}">{}<span>{}</span><span class="mk-muted">{}</span></li>'
    ).format(muted, icon(line.state), line.words, took)


def overview(look: SetupSnapshot, title: str) -> Markup:
    """All stages as one piece of HTML, for readers without a kernel."""
    rows = Markup("").join(
        Markup("<tr><td>{} {}. {}</td><td>{}</td><td>{}{}</td></tr>").format(
            icon(stage_icon(status)),
            number,
            stage.title,
            state_words(status),
            status.summary,
            Markup("").join(map(_short_finding, status.findings)),
        )
        for number, (stage, status) in enumerate(zip(STAGES, look.statuses, strict=True), start=1)
    )
    body = Markup(
        "<table><thead><tr><th>stage</th><th>state</th><th>what the cluster says</th></tr></thead>"
        "<tbody>{}</tbody></table>"
    ).format(rows)
    found = card(title, f"read {clock(look.taken_s)} UTC", body)
    return Markup('<div class="mk">{}{}{}</div>').format(STYLE, found, tables_of(look))


def _short_finding(finding: Finding) -> Markup:
    return Markup('<div class="mk-remedy">{} {} {} {} {}</div>').format(
        icon(_WORDS[finding.severity][0]),
        finding.object,
        finding.message,
        finding.remedy,
        code_link(finding),
    )


def tables_of(look: SetupSnapshot) -> Markup:
    """The tables of all stages, without duplicates."""
    distinct = {table.title: status for status in look.statuses for table in status.tables}
    return Markup("").join(
        _table_card(t) for s in distinct.values() for t in s.tables if distinct[t.title] is s
    )


def clock(at_s: float) -> str:
    """The time of day in UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(at_s))


def planned_lines(plan: Plan | None, *, watched: bool) -> list[ProgressLine]:
    """The steps of a plan before it runs, and the watch that follows a stage whose change is watched."""
    if plan is None or plan.empty:
        return []
    words = {"create": "Create", "change": "Change", "keep": "Keep", "remove": "Remove"}
    lines = [ProgressLine(f"{words[one.action]} {one.step.title}", "todo") for one in plan.steps]
    if watched:
        lines.append(ProgressLine("Watch for refused calls", "todo"))
    return lines
