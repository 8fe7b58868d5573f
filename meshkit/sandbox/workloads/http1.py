"""A small HTTP/1.1 server for the workloads, based on asyncio protocols.

A request costs about 0.1 ms (a parser in C and one task per request), so that the service and the load
generator leave the CPU to the proxies. There is no TLS and no support for chunked bodies, because the
proxies handle both.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import httptools

DRAIN_QUIET_S = 0.3
"""A draining server keeps idle connections open this long, because a request may be in transit."""
UNASKED_LOOK_S = 0.05
"""Time between two looks whether requests still come to a draining server."""


@dataclass(frozen=True, slots=True)
class Request:
    """A complete request.

    ``query`` is the undecoded part after the question mark; header names are in lower case.
    """

    method: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """A response; ``headers`` are added to content-type and content-length."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    @classmethod
    def of_json(cls, status: int, document: object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Create a response with a JSON document."""
        return cls(status, json.dumps(document, separators=(",", ":")).encode(), headers)

    def encode(self, *, close: bool) -> bytes:
        """Return the response as bytes; ``close`` tells the client not to reuse the connection."""
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}", f"content-type: {self.content_type}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"content-length: {len(self.body)}")
        if close:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


Handler = Callable[[Request], Awaitable[Response]]


class _Connection(asyncio.Protocol):
    """A client connection, whose requests are answered in order."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[tuple[Request, bool]] = deque()
        self.task: asyncio.Task[None] | None = None
        self.url = b""
        self.body = bytearray()
        self.headers: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.server.connections.discard(self)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            if self.transport is not None:
                self.transport.write(Response(400, b"").encode(close=True))
                self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        url = httptools.parse_url(self.url)
        request = Request(
            self.parser.get_method().decode(),
            (url.path or b"/").decode(),
            (url.query or b"").decode(),
            bytes(self.body),
            self.headers,
        )
        self.url, self.body, self.headers = b"", bytearray(), {}
        self.waiting.append((request, self.parser.should_keep_alive()))
        loop = asyncio.get_running_loop()
        self.server.asked_s = loop.time()
        if self.task is None:
            self.task = loop.create_task(self._answer())

    async def _answer(self) -> None:
        while self.waiting and self.transport is not None:
            request, keep_alive = self.waiting.popleft()
            try:
                response = await self.server.handler(request)
            except Exception as exc:
                response = Response.of_json(500, {"error": str(exc)})
            close = self.server.draining or not keep_alive
            if self.transport is not None:
                self.transport.write(response.encode(close=close))
                if close:
                    self.transport.close()
        self.task = None

    def close_when_idle(self) -> None:
        """Close the connection unless a request is being answered."""
        if self.task is None and self.transport is not None:
            self.transport.close()


class HttpServer:
    """Serves ``handler`` on one address.

    ``address`` is ``tcp:HOST:PORT`` or ``unix:PATH`` (a socket of mode 0700).
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[_Connection] = set()
        self.draining = False
        self.asked_s = -math.inf
        """When the newest request came, on the loop's clock."""
        self._listener: asyncio.Server | None = None

    async def listen(self, address: str) -> None:
        """Start to accept connections; raise OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        kind, _, rest = address.partition(":")
        if kind == "unix":
            Path(rest).unlink(missing_ok=True)
            before = os.umask(0o077)
            try:
                self._listener = await loop.create_unix_server(self._connection, rest)
            finally:
                os.umask(before)
        else:
            host, _, port = rest.rpartition(":")
            self._listener = await loop.create_server(
                self._connection, host, int(port), family=socket.AF_INET, reuse_address=True
            )

    def _connection(self) -> _Connection:
        return _Connection(self)

    async def drain(self, timeout_s: float, *, unasked_s: float = 0.0) -> None:
        """Stop accepting connections once no request came for ``unasked_s``, and finish pending requests.

        Clients are told to close their connections; the remaining ones are aborted after ``timeout_s``.
        """
        self.draining = True
        deadline = asyncio.get_running_loop().time() + timeout_s
        if unasked_s:
            await self._until_unasked(unasked_s, deadline)
        if self._listener is not None:
            self._listener.close()
        await asyncio.sleep(min(DRAIN_QUIET_S, timeout_s))
        while self.connections and asyncio.get_running_loop().time() < deadline:
            for connection in list(self.connections):
                connection.close_when_idle()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _until_unasked(self, unasked_s: float, deadline: float) -> None:
        """Wait until no request came for ``unasked_s``, found twice: after a stall, the first time is before
        the requests that came during the stall are read.
        """
        loop, found = asyncio.get_running_loop(), 0
        while found < 2 and loop.time() < deadline:
            await asyncio.sleep(UNASKED_LOOK_S)
            found = found + 1 if loop.time() - self.asked_s > unasked_s else 0


def listen_address(port: int) -> str:
    """Return the listen address of a container port from ``$MESHKIT_LISTEN``.

    A port that is not there is served as ``$MESHKIT_LISTEN_UNDECLARED`` says, by default on loopback.
    """
    listen: dict[str, str] = json.loads(os.environ.get("MESHKIT_LISTEN", "{}"))
    undeclared = os.environ.get("MESHKIT_LISTEN_UNDECLARED", "tcp:127.0.0.1:{port}")
    return listen.get(str(port), undeclared.replace("{port}", str(port)))
