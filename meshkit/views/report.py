"""Self-contained HTML pages: the report of an executed runbook, and the frame of every page.

A page loads nothing and needs no script: its charts are the SVG that is stored beside every plotly figure.
It opens offline, prints, and can be kept as evidence for years.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from meshkit.errors import CHANGES_PENDING
from meshkit.facts import ClusterRef
from meshkit.version import __version__
from meshkit.views.icons import icon
from meshkit.views.plain_text import visible
from meshkit.views.sanitized import sanitized

STYLE = Markup("<style>{}</style>").format(
    Markup("").join(
        Markup((Path(__file__).parent / name).read_text(encoding="utf-8"))
        for name in ("style.css", "setup/setup.css", "experiments/experiments.css", "glance/glance.css")
    )
)
"""The style of every page and widget, as an HTML element."""
_ENDINGS = {
    0: ("good", "Done."),
    3: ("warn", "Undecided."),
    4: ("warn", "Stopped: a person must decide."),
}
"""Tone and headline of an exit code; any other is a failure."""
_STYLED = re.compile(r"\A<div class=\"mk\"><style>")
"""How the HTML outputs of meshkit begin. The page has the style already."""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def page(title: str, body: Markup) -> Markup:
    """A whole HTML document around a body, with meshkit's style in it."""
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        "<title>{}</title>{}</head>"
        '<body class="mk-page"><main class="mk">{}</main></body></html>\n'
    ).format(title, STYLE, body)


def verdict_block(tone: str, headline: str, detail: str = "", footnote: str = "") -> Markup:
    """The coloured block that states a result. ``tone`` is good, bad, warn or note."""
    lines = Markup("<strong>{}</strong>").format(headline)
    lines += Markup("<span>{}</span>").format(detail) if detail else ""
    lines += Markup('<div class="mk-muted">{}</div>').format(footnote) if footnote else ""
    return Markup('<div class="mk-verdict mk-{}" role="status">{}<div>{}</div></div>').format(
        tone, icon(tone), lines
    )


def chip(tone: str, words: str) -> Markup:
    """A state in a pill: its icon and its words."""
    return Markup('<span class="mk-chip mk-{}">{}{}</span>').format(tone, icon(tone), words)


def table(
    columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: tuple[int, ...] = ()
) -> Markup:
    """A table of cells; a cell that is not ``Markup`` is escaped. The columns at the indices ``numbers`` are
    right-aligned.
    """
    classes = [Markup(' class="mk-number"') if index in numbers else "" for index in range(len(columns))]

    def cells(template: Markup, row: tuple[str, ...]) -> Markup:
        return Markup("").join(template.format(c, cell) for c, cell in zip(classes, row, strict=True))

    head = cells(Markup("<th{}>{}</th>"), columns)
    body = Markup("").join(Markup("<tr>{}</tr>").format(cells(Markup("<td{}>{}</td>"), row)) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def runbook_page(
    notebook: Any,
    *,
    title: str,
    exit_code: int,
    error: str | None,
    parameters: Mapping[str, Any],
    duration_s: float,
    cluster: ClusterRef | None = None,
    outcome: str | None = None,
) -> Markup:
    """The report of an executed runbook: its result, its cluster, its parameters, and every cell with its
    output. ``outcome`` says how its operation ended.
    """
    tone, headline = _ENDINGS.get(exit_code, ("bad", "Failed."))
    if exit_code in (0, CHANGES_PENDING) and parameters.get("apply") is False:
        pending = "Changes are pending; nothing" if exit_code else "Nothing"
        tone, headline = "note", f"Dry run. {pending} was changed."
    footnote = f"{duration_s:.1f} s" + (f" on cluster {cluster}" if cluster else "")
    rows = [
        (Markup("<code>{}</code>").format(name), Markup("<code>{}</code>").format(value))
        for name, value in parameters.items()
    ]
    body = Markup("").join(
        (
            Markup('<header class="mk-head"><h1>{}</h1>{}</header>').format(
                title, chip(tone, f"exit {exit_code}")
            ),
            verdict_block(tone, headline, error or outcome or "Every cell ran to its end.", footnote),
            *(cell_html(cell) for cell in notebook.cells if not _is_banner(cell)),
            Markup("<h2>Parameters</h2>{}").format(table(("parameter", "value"), rows)),
            Markup('<p class="mk-muted">meshkit {}</p>').format(__version__),
        )
    )
    return page(title, body)


def cell_html(cell: Any) -> Markup:
    """A notebook cell: its prose as HTML, its code folded, its outputs in full."""
    if cell.cell_type == "markdown":
        return _prose(cell.source)
    if cell.cell_type != "code" or not cell.source.strip():
        return Markup("")
    code = Markup("<details><summary>code</summary><pre>{}</pre></details>").format(cell.source)
    return code + Markup("").join(_output_html(output) for output in cell.outputs)


def _output_html(output: Any) -> Markup:
    """An output of a cell. What the cell itself shows as SVG or HTML is kept as far as it only shows."""
    if output.output_type == "error":
        return _pre(f"{output.ename}: {output.evalue}")
    if output.output_type == "stream":
        return _pre(_text(output.text))
    data = output.data
    if "image/svg+xml" in data:
        return Markup('<div class="mk-card mk-chart">{}</div>').format(
            sanitized(_text(data["image/svg+xml"]))
        )
    if "text/html" in data:
        html = _text(data["text/html"])
        shown = sanitized(html)
        return shown if _STYLED.match(html) else Markup('<div class="mk-card">{}</div>').format(shown)
    return _pre(_text(data.get("text/plain", "")))


def _pre(text: str) -> Markup:
    """Plain text as it was printed, without the colours of a terminal."""
    return Markup("<pre>{}</pre>").format(visible(_ANSI.sub("", text)))


def _prose(source: str) -> Markup:
    """Markdown as HTML, without the notebook's title, which the page shows already."""
    import mistune

    without_title = re.sub(r"\A# .*\n?", "", source)
    return sanitized(str(mistune.html(without_title)))


def _is_banner(cell: Any) -> bool:
    """Whether papermill added the cell, to point at the cell that failed."""
    return any(tag.startswith("papermill-error") for tag in cell.metadata.get("tags", ()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)
