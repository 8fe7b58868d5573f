"""The queue between watches and controllers."""

from __future__ import annotations

import asyncio

import pytest

from meshkit.sandbox.controllers.loop import WorkQueue

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
