"""A container that is stopped while it waits for its next restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from meshkit.sandbox.node.container import Container, ContainerContext
from meshkit.sandbox.node.process import Process
from meshkit.sandbox.node.programs import Image


def test_who_gives_up_waiting_for_a_process_ends_nobody_elses_wait(tmp_path: Path) -> None:
    """A process that ends late, as a proxy on a busy machine: its pod could never be taken away."""

    async def run() -> None:
        lines: list[bytes] = []
        argv = ["/bin/sh", "-c", "(sleep 1; echo late) & echo early"]
        env = {"PATH": "/usr/bin:/bin"}
        process = await Process.start(argv, env, cwd=tmp_path, log=tmp_path / "log", on_lines=lines.extend)
        other = asyncio.create_task(process.wait())
        async with asyncio.timeout(30):
            while not lines or process.running:  # noqa: ASYNC110 - the shell has ended, and its child has not
                await asyncio.sleep(0.01)
        await process.stop(grace_s=0.1)
        assert await asyncio.wait_for(other, 30) == 0
        assert lines == [b"early", b"late"]

    asyncio.run(run())


def test_ended_while_it_waits_for_its_next_start_it_is_terminated(tmp_path: Path) -> None:
    async def run() -> None:
        waits = asyncio.Event()

        async def environment() -> dict[str, str]:
            return {}

        async def record_event(kind: str, reason: str, message: str) -> None:
            if reason == "BackOff":
                waits.set()

        setting: Any = SimpleNamespace(
            environment=environment,
            pod_dir=tmp_path,
            changed=lambda: None,
            record_event=record_event,
            restart="Always",
            log_lines=None,
            is_ready=None,
        )
        image: Any = SimpleNamespace(role="service", command=lambda _dir, _args: ["/bin/false"])
        fails = Container({"name": "side", "image": "x"}, cast(Image, image), cast(ContainerContext, setting))
        running = asyncio.create_task(fails.run())
        await waits.wait()
        await fails.stop(grace_s=1)
        await asyncio.wait_for(running, 30)
        assert fails.over.is_set()
        assert fails.status()["state"]["terminated"]["exitCode"] == 1
        assert fails.status()["restartCount"] == 1  # begun twice: the first restart is without delay

    asyncio.run(run())
