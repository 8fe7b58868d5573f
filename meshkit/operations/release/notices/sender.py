"""Post notices to a webhook from a thread of its own: in order, in bounded time, and again if one fails."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from meshkit.errors import NoData
from meshkit.operations.release.notices.webhook import Post

RETRIES_S = (1.0, 4.0)
"""The pauses before a notice is posted again; after the last try it is given up."""
WAITING = 100
"""Notices that may wait to be posted; further ones are given up."""
_LAST = None


class Sender:
    """Posts in the background; ``problems`` tells what was given up."""

    def __init__(self, post: Post, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._post, self._sleep = post, sleep
        self._waiting: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue(WAITING)
        self._problems: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def send(self, address: str, body: Mapping[str, Any]) -> None:
        """Post a notice soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((address, body))
        except queue.Full:
            self._give_up(body, f"{WAITING} others wait already.")

    def problems(self) -> list[str]:
        """The sentences about notices that were given up since the last call."""
        found = []
        while not self._problems.empty():
            found.append(self._problems.get())
        return found

    def close(self, timeout_s: float) -> None:
        """Post what still waits, at most for so long."""
        if self._thread is None:
            return
        until_s = time.monotonic() + timeout_s
        try:
            self._waiting.put(_LAST, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))
        if self._thread.is_alive():
            self._problems.put("The webhook of notices is slow: the last notices may not have arrived.")

    def _run(self) -> None:
        while (item := self._waiting.get()) is not _LAST:
            self._deliver(*item)

    def _deliver(self, address: str, body: Mapping[str, Any]) -> None:
        problem = ""
        for pause_s in (0.0, *RETRIES_S):
            if pause_s:
                self._sleep(pause_s)
            try:
                self._post(address, body)
                return
            except NoData as error:
                problem = error.message
            except Exception:  # Whatever it is may name the address.
                problem = "it could not be posted."
        self._give_up(body, problem)

    def _give_up(self, body: Mapping[str, Any], why: str) -> None:
        self._problems.put(f"The notice {body['event']!r} was given up: {why}")
