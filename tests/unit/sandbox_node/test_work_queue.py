"""The queue between watches and controllers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from meshkit.sandbox.controllers.loop import Turns, WorkQueue, run

KEY = ("shop", "web")
A_LITTLE_S = 1e-10
"""Less than the clock's resolution: asyncio calls such a timer too early, as uvloop does by rounding."""


def test_an_appointment_made_right_after_an_early_timer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        frozen_s = loop.time()
        monkeypatch.setattr(loop, "time", lambda: frozen_s)
        queue = WorkQueue()
        for _ in range(3):
            queue.add_after(KEY, A_LITTLE_S)
            for _ in range(10):
                await asyncio.sleep(0)
            assert KEY in queue
            assert await queue.take() == KEY
            queue.done(KEY)

    asyncio.run(scenario())


def test_of_two_appointments_the_earlier_one_counts() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        for delay_s in (60, 0.01, 30):
            queue.add_after(KEY, delay_s)
        async with asyncio.timeout(1):
            assert await queue.take() == KEY

    asyncio.run(scenario())


def test_a_key_added_while_it_is_held_comes_again() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(KEY)
        await queue.take()
        queue.add(KEY)
        assert KEY not in queue
        queue.done(KEY)
        assert KEY in queue

    asyncio.run(scenario())


def test_many_keys_at_once_do_not_delay_another_task() -> None:
    """The event loop starts at most one reconciliation in each iteration, over all controllers."""
    started: list[str] = []
    seen: list[int] = []

    class Busy:
        watches: ClassVar[Mapping[str, Callable[[Any], Iterable[tuple[str, str]]]]] = {
            "pods": lambda event: event
        }

        async def reconcile(self, namespace: str, name: str) -> None:
            started.append(name)

    class Client:
        async def watch(self, resource: str) -> AsyncIterator[SimpleNamespace]:
            yield SimpleNamespace(object=[("shop", f"pod-{n}") for n in range(50)])

    async def scenario() -> None:
        turns = Turns()
        running = [asyncio.create_task(run(Busy(), cast(Any, Client()), turns)) for _ in range(3)]
        while len(started) < 150:
            seen.append(len(started))
            await asyncio.sleep(0)
        for task in running:
            task.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert max(later - before for before, later in itertools.pairwise(seen)) == 1
