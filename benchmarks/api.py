"""The sandbox's API server alone, in a process of its own: start, lists, watches, applies, memory."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from benchmarks.figure import Figure
from meshkit.sandbox.api.app import NodeHooks, serve
from meshkit.sandbox.home import SandboxHome

STARTS, OBJECTS, LISTS, EVENTS, APPLIES, IN_FLIGHT = 5, 5_000, 9, 200, 1_000, 16
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


def measure() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    starts = [await _start_s() for _ in range(STARTS)]
    async with _server() as server:
        empty_mb = server.memory_mb()
        applies = await _applies_per_s(server)
        await _fill(server)
        full_mb = server.memory_mb()
        lists = [await _list_ms(server, {}) for _ in range(LISTS)]
        tables = [await _list_ms(server, TABLE) for _ in range(LISTS)]
        latencies = await _watch_ms(server)
    p99_ms = statistics.quantiles(latencies, n=100)[98]
    return [
        Figure("API server, from start until it answers", "s", tuple(starts), 1.0),
        Figure(f"server-side applies over HTTPS, {IN_FLIGHT} in flight", "a second", (applies,)),
        Figure(f"list of {OBJECTS:,} ConfigMaps of 1 KB", "ms", tuple(lists), 100.0),
        Figure(f"list of {OBJECTS:,} ConfigMaps as a table", "ms", tuple(tables), 500.0),
        Figure("write begun -> seen by a watch", "ms", tuple(latencies), 10.0),
        Figure("write begun -> seen by a watch, p99", "ms", (p99_ms,), 50.0),
        Figure("API server's memory, empty", "MB", (empty_mb,), 100.0),
        Figure(f"API server's memory, {OBJECTS:,} objects", "MB", (full_mb,), 150.0),
    ]


class Server:
    """A server process and a connection to it."""

    def __init__(self, pid: int, port: int, session: aiohttp.ClientSession) -> None:
        self._pid = pid
        self._port = port
        self.session = session

    def url(self, path: str) -> URL:
        return URL(f"https://127.0.0.1:{self._port}{path}", encoded=True)

    def memory_mb(self) -> float:
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@asynccontextmanager
async def _server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        command = [sys.executable, "-m", "benchmarks.api", folder]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            assert process.stdout is not None
            port = int(await process.stdout.readline())
            home = SandboxHome(Path(folder))
            context = ssl.create_default_context(cafile=str(home.ca_certificate))
            headers = {"Authorization": f"Bearer {home.token.read_text()}"}
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
                yield Server(process.pid, port, session)
        finally:
            process.kill()
            await process.wait()


async def _start_s() -> float:
    began_s = time.perf_counter()
    async with _server() as server, server.session.get(server.url("/readyz")) as answer:
        assert answer.status == 200
        return time.perf_counter() - began_s


def _configmap(name: str) -> dict[str, object]:
    text = {"text": "x" * 1000}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": text}


async def _apply(server: Server, name: str) -> None:
    url = server.url(f"{CONFIGMAPS}/{name}?fieldManager=bench")
    async with server.session.patch(url, data=json.dumps(_configmap(name)), headers=APPLY) as answer:
        assert answer.status in (200, 201)
        await answer.read()


async def _applies_per_s(server: Server) -> float:
    async def worker(first: int) -> None:
        for i in range(first, APPLIES, IN_FLIGHT):
            await _apply(server, f"applied-{i:05}")

    began_s = time.perf_counter()
    await asyncio.gather(*(worker(first) for first in range(IN_FLIGHT)))
    return APPLIES / (time.perf_counter() - began_s)


async def _fill(server: Server) -> None:
    """Up to OBJECTS of them, those that were applied included."""

    async def worker(first: int) -> None:
        for i in range(first, OBJECTS - APPLIES, IN_FLIGHT):
            body = _configmap(f"filled-{i:05}")
            async with server.session.post(server.url(CONFIGMAPS), json=body) as answer:
                assert answer.status == 201
                await answer.read()

    await asyncio.gather(*(worker(first) for first in range(IN_FLIGHT)))


async def _list_ms(server: Server, headers: dict[str, str]) -> float:
    began_s = time.perf_counter()
    async with server.session.get(server.url(CONFIGMAPS), headers=headers) as answer:
        await answer.read()
    return 1000 * (time.perf_counter() - began_s)


async def _watch_ms(server: Server) -> list[float]:
    """One writer, one watch: how long after the beginning of a write its line arrives."""
    async with server.session.get(server.url(CONFIGMAPS)) as answer:
        listed = json.loads(await answer.read())
    path = f"{CONFIGMAPS}?watch=true&resourceVersion={listed['metadata']['resourceVersion']}"
    latencies = []
    async with server.session.get(server.url(path)) as watch:
        for i in range(EVENTS):
            began_s = time.perf_counter()
            write = asyncio.create_task(_apply(server, f"watched-{i:05}"))
            await watch.content.readline()
            latencies.append(1000 * (time.perf_counter() - began_s))
            await write
    return latencies


async def _serve(folder: Path) -> None:
    server = await serve(SandboxHome(folder), 0, NodeHooks(lambda pod, container, tail: ""))
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
