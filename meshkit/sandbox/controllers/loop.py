"""The reconcile loop that every controller runs in.

Level-triggered: a change only says *which* object to look at again, never what to do. Changes to one key that
arrive while it waits are one look; a key is looked at by one worker at a time; a look that fails is repeated
with growing delay. So a lost, doubled or late change costs time at worst. Reads go to the store itself (in
this process, in memory), hence there is no stale cache to reckon with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.objects import Object

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

Key = tuple[str, str]
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 10.0
WORKERS = 4
"""Keys of one controller looked at side by side: a slow admission webhook holds up one, not all."""


class Controller(Protocol):
    """One controller. ``watches`` maps a resource to the keys that a changed object of it concerns."""

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Resource -> function from a changed object to the keys to look at."""
        ...

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step for one key. Returns the seconds after which to look again, or None."""
        ...


class WorkQueue:
    """Keys to look at. A key is handed out once, and again only after ``done``."""

    def __init__(self) -> None:
        self._waiting: dict[Key, None] = {}
        self._held: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._wakeup = asyncio.Event()

    def add(self, key: Key) -> None:
        """Look at ``key`` soon."""
        if key in self._held:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._wakeup.set()

    def __contains__(self, key: Key) -> bool:
        """Whether the key waits to be taken."""
        return key in self._waiting

    def add_after(self, key: Key, delay_s: float) -> None:
        """Look at ``key`` after ``delay_s``; an earlier appointment of the key is kept."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def _due(self, key: Key) -> None:
        """An appointment has come. That ends it, not the clock: a timer may fire a little before its time."""
        del self._timers[key]
        self.add(key)

    async def take(self) -> Key:
        """The next key, once there is one."""
        while not self._waiting:
            self._wakeup.clear()
            await self._wakeup.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._held.add(key)
        return key

    def done(self, key: Key) -> None:
        """The look at ``key`` has ended."""
        self._held.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)


async def run(controller: Controller, client: LocalClient) -> None:
    """Run one controller until cancelled."""
    queue = WorkQueue()
    async with asyncio.TaskGroup() as tasks:
        for resource, keys_of in controller.watches.items():
            tasks.create_task(_watch(client, resource, keys_of, queue))
        for _ in range(WORKERS):
            tasks.create_task(_work(controller, queue))


async def _watch(
    client: LocalClient, resource: str, keys_of: Callable[[Object], Iterable[Key]], queue: WorkQueue
) -> None:
    async for event in client.watch(resource):
        for key in keys_of(event.object):
            queue.add(key)


async def _work(controller: Controller, queue: WorkQueue) -> None:
    failures: dict[Key, int] = {}
    while True:
        key = await queue.take()
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
        if exc.code != 409:  # a conflict is the ordinary way to learn of another writer
            log.warning("%s %s/%s: %s", name, *key, exc.message)
    else:
        log.error("%s %s/%s failed", name, *key, exc_info=exc)
