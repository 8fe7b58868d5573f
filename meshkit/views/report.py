"""Self-contained HTML pages: of one executed runbook, and the frame that any page of meshkit uses.

Nothing is loaded from anywhere and no script is needed: the charts are the SVG that stands beside every
plotly figure, so a page opens offline, prints, and can be kept as evidence for years.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshkit.errors import CHANGES_PENDING
from meshkit.facts import ClusterRef
from meshkit.version import __version__
from meshkit.views.icons import icon

STYLE = "".join(
    (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("style.css", "setup/setup.css")
)
_ENDINGS = {
    0: ("good", "Done."),
    3: ("warn", "Undecided."),
    4: ("warn", "Stopped: a person must decide."),
}
"""Tone and headline of an exit code; any other is a failure."""
_STYLED = re.compile(r"\A<div class=\"mk\"><style>.*?</style>", re.DOTALL)
"""How a piece of meshkit's own begins; the page has the style already."""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)


def page(title: str, body: str) -> str:
    """A whole HTML document around a body, with meshkit's style in it."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f'<body class="mk-page"><main class="mk">{body}</main></body></html>\n'
    )


def verdict_block(tone: str, headline: str, detail: str = "", footnote: str = "") -> str:
    """The coloured block that states a result. ``tone`` is good, bad, warn or note."""
    lines = f"<strong>{html.escape(headline)}</strong>"
    lines += f"<span>{html.escape(detail)}</span>" if detail else ""
    lines += f'<div class="mk-muted">{html.escape(footnote)}</div>' if footnote else ""
    return f'<div class="mk-verdict mk-{tone}" role="status">{icon(tone)}<div>{lines}</div></div>'


def chip(tone: str, words: str) -> str:
    """A state in a pill: its icon and its words."""
    return f'<span class="mk-chip mk-{tone}">{icon(tone)}{html.escape(words)}</span>'


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: tuple[int, ...] = ()) -> str:
    """A table of cells that are HTML already; the columns at the indices ``numbers`` are right-aligned."""
    classes = [' class="mk-number"' if index in numbers else "" for index in range(len(columns))]
    head = "".join(f"<th{c}>{html.escape(name)}</th>" for c, name in zip(classes, columns, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{c}>{cell}</td>" for c, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def runbook_page(
    notebook: Any,
    *,
    title: str,
    exit_code: int,
    error: str | None,
    parameters: Mapping[str, Any],
    duration_s: float,
    cluster: ClusterRef | None = None,
) -> str:
    """The report of an executed runbook: how it ended, on which cluster, its parameters, and every cell with
    its output.
    """
    tone, headline = _ENDINGS.get(exit_code, ("bad", "Failed."))
    if exit_code in (0, CHANGES_PENDING) and parameters.get("apply") is False:
        pending = "Changes are pending; nothing" if exit_code else "Nothing"
        tone, headline = "note", f"Dry run. {pending} was changed."
    footnote = f"{duration_s:.1f} s" + (f" on cluster {cluster}" if cluster else "")
    rows = [
        (f"<code>{html.escape(name)}</code>", f"<code>{html.escape(str(value))}</code>")
        for name, value in parameters.items()
    ]
    body = (
        f'<header class="mk-head"><h1>{html.escape(title)}</h1>{chip(tone, f"exit {exit_code}")}</header>'
        + verdict_block(tone, headline, error or "Every cell ran to its end.", footnote)
        + "".join(cell_html(cell) for cell in notebook.cells if not _is_banner(cell))
        + f"<h2>Parameters</h2>{table(('parameter', 'value'), rows)}"
        + f'<p class="mk-muted">meshkit {__version__}</p>'
    )
    return page(title, body)


def cell_html(cell: Any) -> str:
    """A notebook cell: prose as it reads, code folded, outputs in full."""
    if cell.cell_type == "markdown":
        return _prose(cell.source)
    if cell.cell_type != "code" or not cell.source.strip():
        return ""
    code = f"<details><summary>code</summary><pre>{html.escape(cell.source)}</pre></details>"
    return code + "".join(_output_html(output) for output in cell.outputs)


def _output_html(output: Any) -> str:
    if output.output_type == "error":
        return f"<pre>{html.escape(f'{output.ename}: {output.evalue}')}</pre>"
    if output.output_type == "stream":
        return f"<pre>{html.escape(_ANSI.sub('', _text(output.text)))}</pre>"
    data = output.data
    if "image/svg+xml" in data:
        return f'<div class="mk-card mk-chart">{_text(data["image/svg+xml"])}</div>'
    if "text/html" in data:
        shown = _SCRIPT.sub("", _text(data["text/html"]))
        own = _STYLED.sub("<div>", shown)
        return own if own != shown else f'<div class="mk-card">{shown}</div>'
    return f"<pre>{html.escape(_ANSI.sub('', _text(data.get('text/plain', ''))))}</pre>"


def _prose(source: str) -> str:
    """Markdown as HTML, without the notebook's own title: the page has it."""
    import mistune

    without_title = re.sub(r"\A# .*\n?", "", source)
    return str(mistune.html(without_title))


def _is_banner(cell: Any) -> bool:
    """Whether papermill added the cell itself, to point at the failing one."""
    return any(tag.startswith("papermill-error") for tag in cell.metadata.get("tags", ()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)
