"""Pause, resume and stop a change that runs in another thread.

A change reports each step before it makes it, in its own thread: whoever listens may keep it waiting there,
or raise, and then what was done is taken back. Nothing is interrupted half way through a step.
"""

from __future__ import annotations

import threading

from meshkit.cluster.executor import Progress
from meshkit.errors import Stopped
from meshkit.operations.progress import Event, OnEvent


class PauseControl:
    """Hold a change: give it as ``progress`` to ``mk.apply``. Safe to use from other threads."""

    def __init__(self, report: OnEvent) -> None:
        self._report = report
        self._free = threading.Event()
        self._free.set()
        self._stopped = False

    def __call__(self, event: Event) -> None:
        """What the change calls: waits while paused, raises ``Stopped`` when it shall end."""
        self._report(event)
        if isinstance(event, Progress) and event.state == "applying":
            self.hold()

    def hold(self) -> None:
        """Wait here while paused. Raises ``Stopped`` once stopped."""
        self._free.wait()
        if self._stopped:
            raise Stopped("It was stopped by hand.", remedy="Plan again to go on.")

    def pause(self) -> None:
        """Begin no further step until resumed."""
        self._free.clear()

    def resume(self) -> None:
        """Go on."""
        self._free.set()

    def stop(self) -> None:
        """Begin no further step at all; what was done is taken back."""
        self._stopped = True
        self._free.set()

    @property
    def paused(self) -> bool:
        """Whether it waits, or will before its next step."""
        return not self._free.is_set()
