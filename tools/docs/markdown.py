"""Text of the code (docstrings, help texts) as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(``.+?``|`[^`\n]+`)", re.DOTALL)


def prose(text: str) -> str:
    """Plain text with code in backticks as Markdown: what Markdown would take for markup is escaped."""
    parts = _CODE.split(text)
    return "".join(part if i % 2 else _escape(part) for i, part in enumerate(parts))


def code(text: str) -> str:
    """A code span."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already; nothing when there are no rows.

    The last column is left out where none of its cells says anything.
    """
    kept = list(rows)
    if kept and not any(row[-1] for row in kept):
        head, kept = head[:-1], [row[:-1] for row in kept]
    lines = [_row(row) for row in kept]
    return "\n".join([_row(head), _row(["---"] * len(head)), *lines]) + "\n" if lines else ""


def directive(name: str, argument: str, body: str, *, options: Iterable[str] = ()) -> str:
    """A MyST directive whose body may hold fences of three backticks."""
    lines = [f"`````{{{name}}} {argument}", *options, "", body.strip(), "`````", ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([*_\[\]])", r"\\\1", text)


def _row(cells: Sequence[str]) -> str:
    shown = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"
