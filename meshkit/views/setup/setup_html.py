"""The guided path as pieces of HTML: stages, findings, evidence, progress. Pure functions of a SetupSnapshot.

The wizard, the pages of runbooks and what a reader without a kernel sees are put together from these.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from meshkit import codes, settings
from meshkit.operations.setup.guide import STAGES
from meshkit.views.icons import icon
from meshkit.views.plan_html import card
from meshkit.views.report import STYLE

if TYPE_CHECKING:
    from meshkit.facts import ClusterRef, Finding
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.guide import SetupSnapshot, Stage
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


def stage_icon(standing: StageStatus) -> str:
    """The icon's name of how far a stage is."""
    if standing.state == "done":
        return "warn" if any(f.severity != "info" for f in standing.findings) else "good"
    return {"ready": "running", "blocked": "todo", "attention": "warn"}[standing.state]


def state_words(standing: StageStatus) -> str:
    """The state in a word, for those who do not see the icon."""
    if standing.state == "done" and stage_icon(standing) == "warn":
        return "done, with warnings"
    return {"done": "done", "ready": "ready", "blocked": "to do", "attention": "needs attention"}[
        standing.state
    ]


def head(mesh_title: str, cluster: ClusterRef, namespace: str, note: str) -> str:
    """The title: which mesh, on which cluster, for which namespace."""
    where = f"{mesh_title} · namespace {namespace} · {cluster}"
    return (
        '<div class="mk-title"><h1>Set up the mesh</h1>'
        f'<div class="mk-muted">{html.escape(where)} · {html.escape(note)}</div></div>'
    )


def position(number: int, standing: StageStatus) -> str:
    """Which stage of how many, in a pill."""
    return f'<span class="mk-chip">{icon(stage_icon(standing))}Stage {number} of {len(STAGES)}</span>'


def stage_row(number: int, stage: Stage, standing: StageStatus, *, selected: bool) -> str:
    """One line of the list at the left; hidden from screen readers, which read the button above it."""
    return (
        f'<div class="mk-stage-row{" mk-stage-now" if selected else ""}" aria-hidden="true">'
        f"{icon(stage_icon(standing))}<div><span>{number}. {html.escape(stage.title)}</span>"
        f'<span class="mk-muted">{html.escape(standing.summary)}</span></div></div>'
    )


def explanation(number: int, stage: Stage, namespace: str) -> str:
    """What the stage is for."""
    why = html.escape(stage.why).replace("{namespace}", f"<code>{html.escape(namespace)}</code>")
    return f'<h2 class="mk-stage-title">{number}. {html.escape(stage.title)}</h2><p class="mk-why">{why}</p>'


def findings_card(standing: StageStatus, taken_s: float) -> str:
    """What the checks found, the worst first."""
    order = ("error", "warning", "info")
    found = sorted(standing.findings, key=lambda finding: order.index(finding.severity))
    counts = ", ".join(
        f"{n} {word}{'' if n == 1 else 's'}"
        for severity, (_, word) in _WORDS.items()
        if (n := sum(finding.severity == severity for finding in found)) or severity != "info"
    )
    if not found:
        body = f'<p class="mk-none">{icon("good")} Nothing stands against it.</p>'
    else:
        head = '<tr><th>severity</th><th>what, and what to do</th><th class="mk-number">code</th></tr>'
        body = f'<table class="mk-findings">{head}{"".join(map(_finding_row, found))}</table>'
    return card("Findings", f"{counts} · read {clock(taken_s)}", body)


def _finding_row(finding: Finding) -> str:
    shape, word = _WORDS[finding.severity]
    return (
        f'<tr><td class="mk-nowrap mk-{shape}">{icon(shape)} {word}</td>'
        f"<td><strong>{html.escape(finding.object)}</strong><br>{_with_code(finding.message)}"
        f'<br><span class="mk-remedy">{_with_code(finding.remedy)}</span></td>'
        f'<td class="mk-number">{codes.html_link(finding, settings.docs())}</td></tr>'
    )


def _with_code(sentence: str) -> str:
    """A sentence with its names and commands in code font."""
    return _CODE.sub(r"<code>\1</code>", html.escape(sentence, quote=False))


def tables(standing: StageStatus) -> str:
    """The evidence of a stage: who calls whom, which workload gets a sidecar."""
    return "".join(map(_table_card, standing.tables))


def _table_card(table: Table) -> str:
    numbers = {index for index, name in enumerate(table.columns) if name.startswith(("req/s", "in "))}
    head = "".join(
        f"<th{' class=mk-number' if index in numbers else ''}>{html.escape(name)}</th>"
        for index, name in enumerate(table.columns)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=mk-number' if index in numbers else ''}>"
            f"{icon(tone) + ' ' if index == 0 else ''}{html.escape(cell)}</td>"
            for index, cell in enumerate(cells)
        )
        + "</tr>"
        for tone, cells in table.rows
    )
    body = f'<table class="mk-evidence"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return card(table.title, table.note, body)


def progress_card(lines: Sequence[ProgressLine], log: Sequence[str], note: str) -> str:
    """A bar, the steps around the present one, and the log."""
    done = sum(line.state == "good" for line in lines)
    share = 100 * done / len(lines) if lines else 0
    bar = f'<div class="mk-track mk-bar" role="img" aria-label="{done} of {len(lines)} done">'
    bar += f'<i style="width:{share:.0f}%"></i></div>'
    first = max(0, min(done - 2, len(lines) - STEPS_SHOWN))
    shown = lines[first : first + STEPS_SHOWN]
    steps = "".join(map(_progress_row, shown))
    if len(lines) > STEPS_SHOWN:
        steps += f'<li class="mk-muted">steps {first + 1} to {first + len(shown)} of {len(lines)}</li>'
    said = html.escape(
        "\n".join(log[-LOG_LINES:]) or "Nothing has been changed yet. The log starts with Apply."
    )
    body = (
        f'{bar}<ol class="mk-progress">{steps}</ol><pre class="mk-log" role="log" tabindex="0">{said}</pre>'
    )
    return card("Progress", note, body)


def _progress_row(line: ProgressLine) -> str:
    took = "" if line.seconds is None else f"{line.seconds:.1f} s"
    muted = " mk-todo" if line.state == "todo" else ""
    return (
        f'<li class="mk-progress-row{muted}">{icon(line.state)}<span>{html.escape(line.words)}</span>'
        f'<span class="mk-muted">{took}</span></li>'
    )


def overview(look: SetupSnapshot, title: str) -> str:
    """The whole path as one piece of HTML, for a reader without a kernel."""
    rows = []
    for number, (stage, standing) in enumerate(zip(STAGES, look.statuses, strict=True), start=1):
        findings = "".join(
            f'<div class="mk-remedy">{icon(_WORDS[f.severity][0])} {html.escape(f.object)} '
            f"{html.escape(f.message)} {html.escape(f.remedy)} {codes.html_link(f, settings.docs())}</div>"
            for f in standing.findings
        )
        rows.append(
            f"<tr><td>{icon(stage_icon(standing))} {number}. {html.escape(stage.title)}</td>"
            f"<td>{state_words(standing)}</td><td>{html.escape(standing.summary)}{findings}</td></tr>"
        )
    head = "<tr><th>stage</th><th>state</th><th>what the cluster says</th></tr>"
    body = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    found = card(title, f"read {clock(look.taken_s)} UTC", body)
    return f'<div class="mk"><style>{STYLE}</style>{found}{tables_of(look)}</div>'


def tables_of(look: SetupSnapshot) -> str:
    """The evidence of every stage, once."""
    distinct = {table.title: standing for standing in look.statuses for table in standing.tables}
    return "".join(_table_card(t) for s in distinct.values() for t in s.tables if distinct[t.title] is s)


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
