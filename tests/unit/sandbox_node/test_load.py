"""The load generator's client against servers that behave in a known way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from meshkit.sandbox.workloads.client import Call, Client, Services
from meshkit.sandbox.workloads.load import Load
from tests.chance import usual

OK = b"HTTP/1.1 200 OK\r\nx-version: v1\r\ncontent-length: 0\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


class Server:
    """A TCP server that hands each connection and its number to ``serve``."""

    def __init__(self, serve: Serve) -> None:
        self.serve, self.connections = serve, 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.serve(reader, writer, self.connections)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def run(serve: Serve, calls: int, *, gap_s: float = 0.02, timeout_s: float = 1.0) -> tuple[list[int], Server]:
    """Statuses of ``calls`` calls, one every ``gap_s``, in the order of their numbers."""

    async def scenario() -> tuple[list[int], Server]:
        server = Server(serve)
        listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        statuses: dict[int, int] = {}

        def settle(call: Call, status: int, version: str) -> None:
            assert call.number not in statuses
            statuses[call.number] = status

        services = Services(Path("/nowhere"), "default")
        client = Client(
            "web",
            80,
            agent="test",
            proxy=f"127.0.0.1:{port}",
            services=services,
            settle=settle,
            timeout_s=timeout_s,
        )
        loop = asyncio.get_running_loop()
        for number in range(calls):
            client.start(number, loop.time(), client.request("/", {}))
            await asyncio.sleep(gap_s)
        deadline = loop.time() + timeout_s + 30
        while len(statuses) < calls and loop.time() < deadline:
            client.sweep()
            await asyncio.sleep(0.01)
        listening.close()
        return [statuses[number] for number in range(calls)], server

    return uvloop.run(scenario())


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await writer.drain()


def test_one_connection_is_kept_for_calls_one_after_the_other() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await answer(reader, writer)

    statuses, server = run(serve, 5)
    assert statuses == [200] * 5
    assert server.connections == 1


def test_a_connection_closed_while_idle_is_no_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await answer(reader, writer)
        if number == 1:  # take the second request, and close without a byte of answer
            await reader.readuntil(b"\r\n\r\n")
        else:
            while True:
                await answer(reader, writer)

    statuses, server = run(serve, 3)
    assert statuses == [200, 200, 200]
    assert server.connections == 2


def test_a_new_connection_closed_without_an_answer_is_a_failure_and_not_retried() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"\r\n\r\n")

    statuses, server = run(serve, 2)
    assert statuses == [0, 0]
    assert server.connections == 2


def test_a_connection_closed_in_the_middle_of_an_answer_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await answer(reader, writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:20])
        await writer.drain()

    assert run(serve, 2)[0] == [200, 0]


def test_a_late_answer_is_no_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(10)
        await answer(reader, writer)

    assert run(serve, 1, timeout_s=0.1)[0] == [0]


def test_a_short_name_is_looked_up_in_the_namespace_of_the_pod(tmp_path: Path) -> None:
    file = tmp_path / "services.json"
    file.write_text('{"web.shop.svc.cluster.local:8080": ["127.7.0.1:8080", "127.7.0.2:8080"]}')
    os.utime(file, (0, 0))  # as in an image whose files carry no time
    services = Services(file, "shop")
    services.reload()
    for host in ("web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"):
        assert {services.pick(host, 8080), services.pick(host, 8080)} == {"127.7.0.1:8080", "127.7.0.2:8080"}
    assert services.pick("web.other", 8080) is None


def test_requests_leave_on_schedule_though_nothing_answers() -> None:
    """Those of a moment without CPU leave together, at its end: the time counts that has passed."""

    async def scenario() -> tuple[int, float]:
        began_s = time.monotonic()
        load = Load({"TARGET": "http://web.shop:8080/"}, 200)
        pace = asyncio.create_task(load.pace())
        await asyncio.sleep(0.5)
        pace.cancel()
        return load.ledger.count, time.monotonic() - began_s

    sent, took_s = uvloop.run(scenario())
    assert 90 <= sent <= 200 * took_s + 1


def test_paths_are_asked_for_by_weight() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
                writer.write(OK)

    async def scenario() -> None:
        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        proxy = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        load = Load({"PATHS": '{"/": 3, "/order": 1}', "HTTP_PROXY": proxy}, 500)
        pace = asyncio.create_task(load.pace())
        while len(asked) < 400:  # noqa: ASYNC110 - a server's log has no event
            await asyncio.sleep(0.02)
        pace.cancel()
        listening.close()

    uvloop.run(scenario())
    orders = asked[:400].count(b"http://web.shop:8080/order")
    assert orders in usual(0.25, 400)
    assert asked[:400].count(b"http://web.shop:8080/") == 400 - orders


@pytest.mark.parametrize("paths", ['{"/": 0}', '{"/": true}', '["/"]', '{"order": 1}'])
def test_paths_that_cannot_be_asked_for_are_named(paths: str) -> None:
    with pytest.raises(ValueError, match="PATHS"):
        Load({"PATHS": paths}, 1)


def test_a_changed_rate_takes_effect_at_once() -> None:
    """The half second is slept in pieces: a moment without CPU ends one of them, the rest follow."""

    async def scenario() -> tuple[int, float]:
        load = Load({}, 0)
        pace = asyncio.create_task(load.pace())
        await asyncio.sleep(0.2)
        assert load.ledger.count == 0
        load.rps, began_s = 100, time.monotonic()
        for _ in range(50):
            await asyncio.sleep(0.01)
        pace.cancel()
        return load.ledger.count, time.monotonic() - began_s

    sent, took_s = uvloop.run(scenario())
    assert 30 <= sent <= 100 * took_s + 1
