"""The sample service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from pathlib import Path

import pytest
import uvloop

from meshkit.sandbox.workloads.http1 import HttpServer, Request, Response
from meshkit.sandbox.workloads.web import Behaviour, Web, from_environment


def put(body: object) -> Request:
    return Request("PUT", "/-/behaviour", "", json.dumps(body).encode())


def test_latency_is_lognormal_around_its_median() -> None:
    draw = random.Random(1)
    delays = [Behaviour(latency_ms=40, sigma=0.25).delay_s(draw) * 1000 for _ in range(4000)]
    assert statistics.median(delays) == pytest.approx(40, rel=0.02)
    assert statistics.quantiles(delays, n=100)[98] == pytest.approx(40 * 2.718**0.58, rel=0.06)


def test_errors_come_in_their_share_and_at_once() -> None:
    web = Web("v3", "pod", Behaviour(latency_ms=1000, error_percent=100))
    answer = uvloop.run(asyncio.wait_for(web.data(Request("GET", "/", "", b"")), 0.2))
    assert answer.status == 500
    assert ("x-version", "v3") in answer.headers
    draw = random.Random(2)
    assert sum(Behaviour(error_percent=30).fails(draw) for _ in range(10_000)) == pytest.approx(3000, abs=150)


def test_behaviour_is_changed_in_part_while_running() -> None:
    web = Web("v1", "pod", Behaviour())
    answer = uvloop.run(web.control(put({"error_percent": 30})))
    assert json.loads(answer.body) == {"latency_ms": 20, "sigma": 0.25, "error_percent": 30}
    assert web.behaviour.error_percent == 30


@pytest.mark.parametrize(
    "body", [{"latency": 5}, {"error_percent": 101}, {"latency_ms": "5"}, [1], {"sigma": True}]
)
def test_a_behaviour_that_cannot_be_changes_nothing(body: object) -> None:
    web = Web("v1", "pod", Behaviour())
    assert uvloop.run(web.control(put(body))).status == 400
    assert web.behaviour == Behaviour()


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(ValueError, match="LATENCY_MS"):
        from_environment({"LATENCY_MS": "fast"})


def test_a_draining_server_ends_what_is_under_way_and_asks_to_close(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        under_way = asyncio.Event()

        async def slow(request: Request) -> Response:
            under_way.set()
            await asyncio.sleep(0.1)
            return Response.of_json(200, {})

        server = HttpServer(slow)
        await server.listen(f"unix:{tmp_path}/s")
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await under_way.wait()
        drained = asyncio.create_task(server.drain(2.0))
        answer = await reader.read()
        await drained
        writer.close()
        return answer

    answer = uvloop.run(scenario())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


def test_a_draining_server_accepts_connections_as_long_as_it_is_still_asked(tmp_path: Path) -> None:
    """Proxies that learn late of its end, as on a busy machine, lose no request."""

    async def asked(path: Path) -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.closing(writer):
            return (await reader.readline())[:12]

    async def scenario() -> list[bytes]:
        async def handle(request: Request) -> Response:
            return Response.of_json(200, {})

        server = HttpServer(handle)
        await server.listen(f"unix:{tmp_path}/s")
        seen = [await asked(tmp_path / "s")]
        drained = asyncio.create_task(server.drain(30.0, unasked_s=0.8))
        for _ in range(15):
            await asyncio.sleep(0.1)
            seen.append(await asked(tmp_path / "s"))
        await drained
        return seen

    assert set(uvloop.run(scenario())) == {b"HTTP/1.1 200"}


def test_a_draining_server_that_nobody_asks_ends_soon(tmp_path: Path) -> None:
    async def scenario() -> float:
        server = HttpServer(from_environment({}).data)
        await server.listen(f"unix:{tmp_path}/s")
        began_s = time.monotonic()
        await server.drain(30.0, unasked_s=0.8)
        return time.monotonic() - began_s

    assert uvloop.run(scenario()) < 10


def test_only_the_owner_may_use_the_socket(tmp_path: Path) -> None:
    async def scenario() -> int:
        async def nothing(request: Request) -> Response:
            return Response.of_json(200, {})

        server = HttpServer(nothing)
        await server.listen(f"unix:{tmp_path}/s")
        mode = (tmp_path / "s").stat().st_mode & 0o777
        await server.drain(0)
        return mode

    assert uvloop.run(scenario()) == 0o700
