"""The page of Envoy's own statistics, whose filter every user of the machine can write."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from pathlib import Path

import pytest

from meshkit.sandbox.control_planes.registry import DATA_PLANES
from meshkit.sandbox.node import sidecar
from meshkit.sandbox.node.sidecar import Sidecar

POD = {"metadata": {"name": "p", "namespace": "shop", "uid": "u-1"}, "spec": {"containers": []}}
LINE = (
    b'{"dir":"in","host":"web","code":200,"us":5000,"policy":"none","peer":"127.0.0.1:1",'
    b'"port":8080,"flags":"-","proto":"HTTP/1.1"}'
)


def page(tmp_path: Path, expression: str) -> tuple[int, bytes]:
    """The status and the body of the page for a filter."""
    proxy = Sidecar(POD, DATA_PLANES["istio"], "127.7.0.1", tmp_path, lambda _: None, None)  # type: ignore[arg-type]
    proxy.count([LINE])

    async def ask() -> bytes:
        async with await asyncio.start_server(proxy._filter, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            query = urllib.parse.urlencode({"usedonly": "", "filter": expression})
            writer.write(f"GET /stats/prometheus?{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            try:
                return await reader.read()
            finally:
                writer.close()

    head, _, body = asyncio.run(ask()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def test_it_shows_the_families_in_whose_names_the_expression_is_found(tmp_path: Path) -> None:
    assert b"istio_requests_total{" in page(tmp_path, "istio_requests_total|nothing")[1]
    assert b"istio_request_duration" not in page(tmp_path, "istio_requests_total|nothing")[1]
    assert page(tmp_path, "nothing") == (200, b"")
    assert page(tmp_path, "") == page(tmp_path, "^istio_.*")


@pytest.mark.parametrize("expression", ["(", "a{99999999999}", "(" * 5000, r"(\w{99}){99}", r"\w{99}" * 300])
def test_an_expression_that_envoy_refuses_is_refused(tmp_path: Path, expression: str) -> None:
    assert page(tmp_path, expression) == (400, b"Invalid re2 regex")


@pytest.mark.parametrize("expression", ["(.*)*(.*)*(.*)*#", "(a|a|.)*(a|a|.)*#", "(.+)+(.+)+(.+)+(.+)+#"])
def test_no_expression_keeps_the_node_from_its_other_work(tmp_path: Path, expression: str) -> None:
    began_s = time.process_time()
    assert page(tmp_path, expression) == (200, b"")
    assert time.process_time() - began_s < 2


def test_a_client_that_does_not_read_the_answer_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar, "REQUEST_TIMEOUT_S", 0.2)
    proxy = Sidecar(POD, DATA_PLANES["istio"], "127.7.0.1", tmp_path, lambda _: None, None)  # type: ignore[arg-type]
    monkeypatch.setattr(proxy.metrics, "exposition", lambda *_: "x" * (64 << 20))

    async def scenario() -> None:
        ended = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await proxy._answer(reader, writer)
            assert writer.transport.is_closing()
            assert writer.transport.get_write_buffer_size() == 0
            ended.set()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET /stats/prometheus HTTP/1.1\r\n\r\n")
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                await ended.wait()
            writer.close()

    asyncio.run(scenario())
