"""The lines of a running runbook, as its cells print them, without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshkit.kube.redaction import Redaction


class LiveOutput:
    """A text file that passes on whole lines, after the heading of the cell that prints them.

    papermill writes to it what the cells print. If the run has secrets, the lines of a cell are passed on
    when it has ended, because a secret cannot be found in a part of it.
    """

    def __init__(self, on_line: Callable[[str], None], redaction: Redaction) -> None:
        self._on_line = on_line
        self._redaction = redaction
        self._pending = ""

    def follow(self, notebook_manager: Any) -> None:
        """Pass on the headings of a papermill notebook manager's cells too."""
        start, complete = notebook_manager.cell_start, notebook_manager.cell_complete

        def cell_start(cell: Any, cell_index: int | None = None, **options: Any) -> None:
            if cell.cell_type == "markdown":
                self._heading(cell.source)
            start(cell, cell_index, **options)

        def cell_complete(cell: Any, cell_index: int | None = None, **options: Any) -> None:
            self._pass_on(self._pending)
            self._pending = ""
            complete(cell, cell_index, **options)

        notebook_manager.cell_start, notebook_manager.cell_complete = cell_start, cell_complete

    def write(self, text: str) -> None:
        """Take a piece of a cell's standard output."""
        self._pending += text

    def flush(self) -> None:
        """Pass on the lines that are complete."""
        if self._redaction.pattern is None:
            complete, _, self._pending = self._pending.rpartition("\n")
            self._pass_on(complete)

    def _pass_on(self, text: str) -> None:
        for line in self._redaction.text(text).splitlines():
            self._on_line(line)

    def _heading(self, prose: str) -> None:
        first = prose.strip().partition("\n")[0]
        if first.startswith("#"):
            self._on_line(first.lstrip("# "))
