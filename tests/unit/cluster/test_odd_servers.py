"""An API server that answers garbage, drips, redirects or stops costs one sentence about the server."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshkit.cluster import api as api_module
from meshkit.cluster.api import Api
from meshkit.cluster.connect import connect
from meshkit.cluster.transport import answers
from meshkit.cluster.transport.parallel import at_once
from meshkit.errors import ClusterError
from meshkit.facts import Kind

POD = Kind("v1", "Pod")
RESOURCES = {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list"]}]}


def answer(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
        "",
        "",
    )
    return "\r\n".join(lines).encode() + body


class OddServer:
    """A server that answers each request by the bytes, or pieces with pauses, that it is given."""

    def __init__(self, reply: Callable[[str], Iterator[bytes] | bytes]) -> None:
        self._reply, self.asked = reply, list[str]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._accepts = threading.Thread(target=self._accept)
        self._accepts.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            line = connection.recv(65536).decode().split("\r\n", 1)[0]
            self.asked.append(line)
            pieces = self._reply(line)
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                connection.sendall(piece)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepts, *self._threads):
            thread.join()


@contextlib.contextmanager
def served(folder: Path, reply: Callable[[str], Iterator[bytes] | bytes]) -> Iterator[tuple[Api, OddServer]]:
    server = OddServer(reply)
    config = {
        "current-context": "odd",
        "contexts": [{"name": "odd", "context": {"cluster": "odd", "user": ""}}],
        "clusters": [{"name": "odd", "cluster": {"server": server.url}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    api = connect(kubeconfig=folder / "kubeconfig").api
    try:
        yield api, server
    finally:
        api._client.client.rest_client.pool_manager.clear()
        server.close()


GARBAGE = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing": b"",
    "a page": answer(b"<!doctype html><h1>Log in</h1>"),
    "no text": answer(b"\xff\xfe\x00garbage"),
    "a failure without text": answer(b"\xff\xfe\x00garbage", "500 Error"),
    "a list": answer(b"[]"),
    "a number": answer(b"7"),
    "null": answer(b"null"),
    "nesting": answer(b"[" * 200_000),
    "no fields": answer(b"{}"),
    "odd fields": answer(b'{"resources": 7, "items": {}, "metadata": [], "status": "x", "groups": [[]]}'),
    "odd entries": answer(b'{"resources": [7], "items": [7], "metadata": {}, "status": []}'),
    "a status of lists": answer(b'{"message": [], "details": [], "code": {}}', "422 No"),
    "odd causes": answer(
        b'{"message": 7, "details": {"causes": [7, {"field": [], "message": {}}]}}', "409 No"
    ),
    "a redirect": answer(b"", "302 Found", "Location: https://login.test/"),
    "a redirect for ever": answer(b"", "307 Again", "Location: /api/v1"),
    "half an answer": answer(b'{"resources": [', length=5000),
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a wrong chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "no gzip": answer(b"{}", "200 OK", "Content-Encoding: gzip"),
    "an odd length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "an odd status": b"HTTP/1.1 999999 ?\r\n\r\n{}",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n{}",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n{}",
}
READS: dict[str, Callable[[Api], object]] = {
    "get": lambda api: api.get(POD, "web", "shop"),
    "list": lambda api: api.list(POD),
    "whoami": lambda api: api.whoami(),
    "allowed": lambda api: api.allowed("get", "", "pods"),
    "kinds": lambda api: api.namespaced_kinds(),
    "token": lambda api: api.token("shop", "web"),
    "apply": lambda api: api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_a_sentence_about_the_server(tmp_path: Path, garbage: str) -> None:
    with served(tmp_path, lambda _: GARBAGE[garbage]) as (api, server):
        for call in READS.values():
            with pytest.raises(ClusterError) as failed:
                call(api)
            assert failed.value.remedy
            assert len(str(failed.value)) < 1000
            assert "\n" not in failed.value.message
        assert not any(line.startswith(("PATCH", "PUT", "DELETE")) for line in server.asked)


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", '{"metadata": []}', '{"items": 7, "metadata": {}}', '{"items": [{}], "metadata": {}}'],
)
def test_garbage_behind_a_right_discovery(tmp_path: Path, body: str) -> None:
    def reply(line: str) -> bytes:
        return answer(json.dumps(RESOURCES).encode() if line.startswith("GET /api/v1 ") else body.encode())

    with served(tmp_path, reply) as (api, server):
        for call in (READS["get"], READS["list"]):
            with pytest.raises(
                ClusterError, match=f"{server.url} does not answer as an API server of Kubernetes"
            ):
                call(api)


@pytest.mark.parametrize("where", ["status line", "header", "body"])
def test_a_server_that_drips_is_given_up_in_the_stated_time(tmp_path: Path, where: str) -> None:
    whole = answer(b'{"resources": []}' + b" " * 400)
    fast = {"status line": 0, "header": 20, "body": whole.index(b"\r\n\r\n") + 4}[where]

    def drip(_: str) -> Iterator[bytes]:
        yield whole[:fast]
        for each in whole[fast:]:
            time.sleep(0.05)
            yield bytes([each])

    with served(tmp_path, drip) as (api, _):
        began_s = time.monotonic()
        with pytest.raises(ClusterError, match="does not answer"):
            api.pod_get("shop", "web", 80, "/", timeout_s=0.5)
        assert time.monotonic() - began_s < 3


@pytest.mark.parametrize("discovered", [False, True])
def test_many_reads_of_a_server_that_is_silent_end_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, discovered: bool
) -> None:
    monkeypatch.setattr(api_module, "_READ_TIMEOUT_S", 0.5)
    monkeypatch.setitem(api_module.Api._send_once.__kwdefaults__, "timeout_s", 0.5)

    def reply(line: str) -> Iterator[bytes]:
        if discovered and line.startswith("GET /api/v1 "):
            yield answer(json.dumps(RESOURCES).encode())
        else:
            time.sleep(1)

    with served(tmp_path, reply) as (api, server):
        with pytest.raises(ClusterError, match="does not answer"):
            at_once(lambda n: api.list(POD, f"ns-{n}"), range(40))
        assert len(server.asked) <= 2 + 2 * api_module.REQUESTS_AT_ONCE


def test_an_endless_answer_ends_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 100_000)

    def flood(_: str) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield b" " * 10_000

    with served(tmp_path, flood) as (api, _), pytest.raises(ClusterError, match="more than 100000 bytes"):
        api.whoami()
