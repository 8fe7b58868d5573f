"""What lives in a notebook cell: a box that looks at the cluster on the notebook's own loop.

Requests are made in threads, widgets touched on the loop only. Callbacks of widgets may come on another
thread (ipykernel#1510), so each only hands its work to the loop.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Coroutine
from typing import Any, ClassVar

import ipywidgets as widgets


class LiveBox(widgets.VBox):  # type: ignore[misc]
    """A box with tasks on the notebook's loop. Without a loop, as in a script, it shows one look only."""

    _shown: ClassVar[dict[tuple[str, ...], LiveBox]]
    """What is shown now, of each class apart."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._shown = {}

    def _join_loop(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def close(self) -> None:
        """Stop looking and remove the widgets. What was asked of the cluster goes on to its end."""
        for task in self._tasks:
            task.cancel()
        super().close()

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Hand work to the notebook's loop, from whichever thread a callback came on."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._spawn, work)
        else:
            work.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _replace_older(self, *key: str) -> None:
        """End the box of this class that showed the same before."""
        older = self._shown.pop(key, None)
        if older:
            older.close()
        self._shown[key] = self


def set_html(widget: widgets.HTML, value: str) -> None:
    """Only what differs travels to the browser."""
    if widget.value != value:
        widget.value = value


def alert(sentence: str) -> str:
    """A problem, announced to screen readers."""
    return f'<div class="mk-alert" role="alert">{html.escape(sentence)}</div>'


def hint(sentence: str) -> str:
    """A sentence beside the buttons."""
    return f'<span class="mk-muted">{html.escape(sentence)}</span>'
