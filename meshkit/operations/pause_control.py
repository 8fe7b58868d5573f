"""Pause, resume and stop a change that runs in another thread.

A change reports each step before it makes it, in its own thread. The progress callback may block there, or
raise an exception, which undoes the completed steps. No step is interrupted half way.
"""

from __future__ import annotations

import threading

from meshkit.cluster.executor import Progress
from meshkit.errors import Stopped
from meshkit.operations.progress import Event, OnEvent


class PauseControl:
    """A thread-safe ``progress`` callback for ``mk.apply`` that can pause and stop the change."""

    def __init__(self, report: OnEvent) -> None:
        self._report = report
        self._free = threading.Event()
        self._free.set()
        self._stopped = False

    def __call__(self, event: Event) -> None:
        """Handle an event of the change: wait while paused, raise ``Stopped`` once stopped."""
        self._report(event)
        if isinstance(event, Progress) and event.state == "applying":
            self.hold()

    def hold(self) -> None:
        """Wait while paused, and raise ``Stopped`` once stopped."""
        self._free.wait()
        if self._stopped:
            raise Stopped("The change was stopped by hand.", remedy="Plan again to continue.")

    def pause(self) -> None:
        """Start no further step until resumed."""
        self._free.clear()

    def resume(self) -> None:
        """Go on."""
        self._free.set()

    def stop(self) -> None:
        """Start no further step; the completed steps are undone."""
        self._stopped = True
        self._free.set()

    @property
    def paused(self) -> bool:
        """Whether the change waits, or will wait before its next step."""
        return not self._free.is_set()
