"""The reconcile loop that every controller runs in.

The loop is level-triggered: a change only tells *which* object to reconcile, never what to do. Changes to a
queued key are merged, one worker at a time reconciles a key, and a failed reconciliation is retried with
exponential backoff. A lost, duplicated or late change therefore only costs time. Reads go directly to the
in-memory store of this process, so there is no stale cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.objects import Object, key_of

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

Key = tuple[str, str]
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 10.0
WORKERS = 4
"""Concurrent reconciliations per controller, so that a slow admission webhook blocks only one of them."""


class Controller(Protocol):
    """A controller that the loop can run."""

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Map each watched resource to a function from a changed object to the keys to reconcile."""
        ...

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step for one key; return the seconds until it must be reconciled again, or None."""
        ...


class WorkQueue:
    """A queue of keys to reconcile; a key is not taken again before ``done`` is called for it."""

    def __init__(self) -> None:
        self._waiting: dict[Key, None] = {}
        self._in_progress: set[Key] = set()
        self._requeue: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._wakeup = asyncio.Event()

    def add(self, key: Key) -> None:
        """Queue ``key``."""
        if key in self._in_progress:
            self._requeue.add(key)
        else:
            self._waiting[key] = None
            self._wakeup.set()

    def __contains__(self, key: Key) -> bool:
        """Return whether the key is queued."""
        return key in self._waiting

    def add_after(self, key: Key, delay_s: float) -> None:
        """Queue ``key`` after ``delay_s``, unless an earlier timer for the key exists."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def _due(self, key: Key) -> None:
        """Queue the key of a timer that fired, without comparing clocks: a timer may fire slightly early."""
        del self._timers[key]
        self.add(key)

    async def take(self) -> Key:
        """Wait for a queued key and return it."""
        while not self._waiting:
            self._wakeup.clear()
            await self._wakeup.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._in_progress.add(key)
        return key

    def done(self, key: Key) -> None:
        """Mark the reconciliation of ``key`` as finished."""
        self._in_progress.discard(key)
        if key in self._requeue:
            self._requeue.discard(key)
            self.add(key)


class Turns:
    """Starts at most one reconciliation in each iteration of the event loop, over all controllers.

    Most reconciliations finish without suspending. Without turns, many objects that change at once keep the
    API server from answering for seconds.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def next(self) -> None:
        """Wait for the caller's turn, in the order of the calls."""
        async with self._lock:
            await asyncio.sleep(0)


async def run(controller: Controller, client: LocalClient, turns: Turns) -> None:
    """Run one controller until cancelled."""
    queue = WorkQueue()
    async with asyncio.TaskGroup() as tasks:
        for resource, keys_of in controller.watches.items():
            tasks.create_task(_watch(client, resource, keys_of, queue))
        for _ in range(WORKERS):
            tasks.create_task(_work(controller, queue, turns))


async def _watch(
    client: LocalClient, resource: str, keys_of: Callable[[Object], Iterable[Key]], queue: WorkQueue
) -> None:
    async for event in client.watch(resource):
        with skipping(resource, event.object):
            for key in keys_of(event.object):
                queue.add(key)


@contextlib.contextmanager
def skipping(resource: str, obj: Object) -> Iterator[None]:
    """Log an error about one object of a watch instead of raising it, so that the watch goes on."""
    try:
        yield
    except Exception:
        namespace, name = key_of(obj)
        log.exception("%s %s/%s cannot be followed and is skipped", resource, namespace, name)


async def _work(controller: Controller, queue: WorkQueue, turns: Turns) -> None:
    failures: dict[Key, int] = {}
    while True:
        key = await queue.take()
        await turns.next()
        try:
            again_s = await controller.reconcile(*key)
            failures.pop(key, None)
        except Exception as exc:
            failures[key] = failures.get(key, 0) + 1
            again_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (failures[key] - 1))
            _report(controller, key, exc)
        finally:
            queue.done(key)
        if again_s is not None:
            queue.add_after(key, again_s)


def _report(controller: Controller, key: Key, exc: Exception) -> None:
    name = type(controller).__name__
    if isinstance(exc, ApiError):
        if exc.code != 409:  # Conflicts are normal with several writers and the key is retried.
            log.warning("%s %s/%s: %s", name, *key, exc.message)
    else:
        log.error("%s %s/%s failed", name, *key, exc_info=exc)
