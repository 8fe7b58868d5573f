"""The base class of live widgets: tasks on the event loop, requests in threads.

Widgets are changed on the event loop only. Callbacks of widgets may run in another thread
(ipykernel#1510), so each only schedules its work on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

import ipywidgets as widgets
from markupsafe import Markup


class LiveBox(widgets.VBox):  # type: ignore[misc]
    """A box with tasks on the notebook's event loop. Without a loop, it reads the cluster once."""

    _shown: ClassVar[dict[tuple[str, ...], LiveBox]]
    """The boxes that are shown now, by what they show; each class has its own."""

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
        """Stop reading the cluster and remove the widgets. A request that was sent is not cancelled."""
        for task in self._tasks:
            task.cancel()
        super().close()

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Schedule work on the notebook's event loop, from any thread."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._spawn, work)
        else:
            work.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _replace_older(self, *key: str) -> None:
        """Close the older box of this class that shows the same."""
        older = self._shown.pop(key, None)
        if older:
            older.close()
        self._shown[key] = self


def set_html(widget: widgets.HTML, value: Markup) -> None:
    """Set the HTML of a widget unless it is equal, which saves a message to the browser."""
    if widget.value != value:
        widget.value = value


def alert(sentence: str) -> Markup:
    """An error message that screen readers announce."""
    return Markup('<div class="mk-alert" role="alert">{}</div>').format(sentence)


def hint(sentence: str) -> Markup:
    """A sentence beside the buttons."""
    return Markup('<span class="mk-muted">{}</span>').format(sentence)
