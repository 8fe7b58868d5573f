"""The result of a probe, and failures of the prober itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from meshkit.sandbox.node.probes import ATTEMPTS, Probe

PROBE = Probe(port=80, path="/", period_s=1, timeout_s=1.0, initial_delay_s=0, failures=1)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def probed(folder: Path, serve: Serve) -> bool:
    async def main() -> bool:
        server = await asyncio.start_unix_server(serve, folder / "s")
        try:
            return await PROBE.succeeds(f"unix:{folder / 's'}")
        finally:
            server.close()

    return asyncio.run(main())


def test_a_probe_that_its_prober_was_too_late_for_is_made_again(tmp_path: Path) -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(1)
        if len(asked) == 1:
            time.sleep(1.5)  # noqa: ASYNC251 (the prober's own process gets no CPU)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    assert probed(tmp_path, serve)


def test_a_pod_that_does_not_answer_fails_its_probe(tmp_path: Path) -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        await reader.read()
        writer.close()

    assert not probed(tmp_path, serve)
    assert 1 <= len(asked) <= ATTEMPTS
