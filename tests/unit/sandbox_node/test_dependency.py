"""A service that asks another one: whose failures and delays become its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from meshkit.sandbox.workloads.http1 import HttpServer, Request, Response
from meshkit.sandbox.workloads.web import Web, from_environment

Handler = Callable[[Request], Awaitable[Response]]


def ask(stock: Handler, *requests: Request, timeout_s: str = "5") -> list[Response]:
    """The answers of a service whose paths under /order need ``stock``."""

    async def scenario() -> list[Response]:
        server = HttpServer(stock)
        await server.listen("tcp:127.0.0.1:0")
        assert server._listener is not None
        port = server._listener.sockets[0].getsockname()[1]
        env = {"DEPENDENCY": "http://stock.shop:8080/", "DEPENDENCY_PATHS": "/order", "LATENCY_MS": "1"}
        web = from_environment({**env, "HTTP_PROXY": f"http://127.0.0.1:{port}", "TIMEOUT_S": timeout_s})
        assert web.dependency is not None
        sweep = asyncio.create_task(web.dependency.sweep())
        answers = [await web.data(request) for request in requests]
        sweep.cancel()
        await server.drain(0)
        return answers

    return uvloop.run(scenario())


def get(path: str, **headers: str) -> Request:
    return Request("GET", path, "", b"", {name.replace("_", "-"): value for name, value in headers.items()})


def test_only_its_paths_ask_and_the_trace_goes_on() -> None:
    seen: list[Request] = []

    async def stock(request: Request) -> Response:
        seen.append(request)
        return Response.of_json(200, {})

    sent = get("/order/7", traceparent="00-1-2-01", x_request_id="r1", cookie="secret")
    assert [answer.status for answer in ask(stock, get("/"), sent)] == [200, 200]
    (asked,) = seen
    assert (asked.headers["traceparent"], asked.headers["x-request-id"]) == ("00-1-2-01", "r1")
    assert asked.headers["host"] == "stock.shop:8080"
    assert "cookie" not in asked.headers


def test_its_delay_is_in_the_answer() -> None:
    async def stock(request: Request) -> Response:
        await asyncio.sleep(0.2)
        return Response.of_json(200, {})

    began = time.monotonic()
    assert ask(stock, get("/order"))[0].status == 200
    assert time.monotonic() - began > 0.18  # the loop's clock is read once a turn


def test_its_failure_is_a_502_that_names_it() -> None:
    async def stock(request: Request) -> Response:
        return Response.of_json(500, {})

    (answer,) = ask(stock, get("/order"))
    assert answer.status == 502
    assert json.loads(answer.body)["error"] == "stock.shop answered 500"


def test_without_an_answer_in_time_it_is_a_502() -> None:
    async def stock(request: Request) -> Response:
        await asyncio.sleep(5)
        return Response.of_json(200, {})

    (answer,) = ask(stock, get("/order"), timeout_s="0.1")
    assert (answer.status, json.loads(answer.body)["error"]) == (502, "stock.shop did not answer")


def test_a_service_without_an_endpoint_is_a_502(tmp_path: Path) -> None:
    services = tmp_path / "services.json"
    services.write_text("{}")
    env = {"DEPENDENCY": "http://stock.shop:8080/", "MESHKIT_SERVICES": str(services)}

    async def scenario(web: Web) -> Response:
        return await web.data(get("/"))

    assert uvloop.run(scenario(from_environment(env))).status == 502


def test_a_url_that_cannot_be_asked_is_named() -> None:
    with pytest.raises(ValueError, match="DEPENDENCY"):
        from_environment({"DEPENDENCY": "https://stock.shop"})
