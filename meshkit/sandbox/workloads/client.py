"""The workloads' HTTP client, which uses keep-alive connections and settles each call exactly once.

Failed calls are not retried: a refused, reset or late call has status 0. There is one exception, which is
not a failure of the service: the server closes an idle connection just as the next request is sent. Only
then, and only if no byte of the response was read, the client sends the call once more on a new connection
(RFC 9112 section 9.3.1 allows this for safe methods). The latency still counts from the scheduled time.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, urlsplit

import httptools

MAX_CONNECTIONS = 512
"""Further concurrent calls wait for a connection, and their latency includes the wait (open loop)."""


@dataclass(slots=True, eq=False)
class Call:
    """A pending request with its bytes and its scheduled time on the loop's clock."""

    number: int
    due_s: float
    request: bytes
    connection: Connection | None = None
    opening: asyncio.Task[None] | None = None
    sent_again: bool = False


Settle = Callable[[Call, int, str], None]
"""Called once for each call with its status (0 means no response) and the response's x-version."""


class Services:
    """Resolves services to ready endpoints from the node agent's file, in place of DNS and kube-proxy."""

    def __init__(self, path: Path, namespace: str) -> None:
        self._path, self._namespace = path, namespace
        self._stamp = -1
        self._endpoints: dict[str, list[str]] = {}
        self._turn = 0

    def reload(self) -> None:
        """Reload the file if it was replaced."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._endpoints, self._stamp = json.loads(self._path.read_text()), stamp
        except OSError:
            self._endpoints = {}

    def pick(self, host: str, port: int) -> str | None:
        """Return ``ip:port`` of the next endpoint in round-robin order, or None.

        A name is completed like by a pod's resolver: within its namespace, then within the cluster. So
        ``web``, ``web.shop`` and the fully qualified name refer to the same service, and ``kv-0.kv`` to a pod
        of a headless service.
        """
        name = host.removesuffix(".")
        found = (
            self._endpoints.get(f"{name}{suffix}:{port}")
            for suffix in (
                f".{self._namespace}.svc.cluster.local",
                ".svc.cluster.local",
                ".cluster.local",
                "",
            )
        )
        endpoints = next((each for each in found if each is not None), None)
        if not endpoints:
            return None
        self._turn += 1
        return endpoints[self._turn % len(endpoints)]


class Connection(asyncio.Protocol):
    """A connection to one address, with at most one call at a time."""

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.address = client, address
        self.transport: asyncio.Transport | None = None
        self.call: Call | None = None
        self.answered = 0
        self.reading = False
        self._parser = httptools.HttpResponseParser(self)
        self._version = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Handle the open connection (called by the loop)."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, call: Call) -> None:
        """Send the request of ``call``."""
        assert self.transport is not None
        self.call, call.connection, self.reading, self._version = call, self, False, ""
        self.transport.write(call.request)

    def data_received(self, data: bytes) -> None:
        """Parse a part of a response (called by the loop)."""
        self.reading = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read one header of the response (called by the parser)."""
        if name.lower() == b"x-version":
            self._version = value.decode("latin-1")

    def on_message_complete(self) -> None:
        """Handle the complete response (called by the parser)."""
        status = self._parser.get_status_code()
        if status < 200 or self.call is None:
            return
        call, self.call = self.call, None
        self.answered += 1
        self.client.answered(self, call, status, self._version, keep=self._parser.should_keep_alive())
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the closed connection (called by the loop)."""
        self.transport = None
        call, self.call = self.call, None
        self.client.lost(self, call)

    def abort(self) -> None:
        """Close the connection at once and drop its pending call."""
        if self.transport is not None:
            self.transport.abort()


class Client:
    """Sends GET requests to one service, through ``proxy`` (``ip:port``) or directly to its endpoints."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        agent: str,
        proxy: str | None,
        services: Services,
        settle: Settle,
        timeout_s: float = 10.0,
    ) -> None:
        self._host, self._port, self._proxy = host, port, proxy
        self._services, self._settle, self._timeout_s = services, settle, timeout_s
        self._agent = agent
        self._idle: dict[str, list[Connection]] = {}
        self._open = 0
        self._waiting: deque[Call] = deque()
        self._calls: OrderedDict[int, Call] = OrderedDict()

    def request(self, path: str, headers: Mapping[str, str]) -> bytes:
        """Build the bytes of a GET request; ``path`` may include a query."""
        # Requests to a proxy use the absolute form, which contains the authority (RFC 9112 section 3.2.2).
        url = f"http://{self._host}:{self._port}{path}" if self._proxy else path
        lines = [f"GET {url} HTTP/1.1", f"host: {self._host}:{self._port}", f"user-agent: {self._agent}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def start(self, number: int, due_s: float, request: bytes) -> None:
        """Start the call of ledger record ``number``."""
        call = Call(number, due_s, request)
        self._calls[number] = call
        self._dispatch(call)

    def _dispatch(self, call: Call, *, fresh: bool = False) -> None:
        address = self._proxy or self._services.pick(self._host, self._port)
        if address is None:
            self._end(call, 0)
            return
        idle = self._idle.get(address)
        if idle and not fresh:
            idle.pop().send(call)
        elif self._open >= MAX_CONNECTIONS:
            self._waiting.append(call)
        else:
            self._open += 1
            call.opening = asyncio.get_running_loop().create_task(self._connect(call, address))

    async def _connect(self, call: Call, address: str) -> None:
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self, address), host, int(port))
        except (OSError, asyncio.CancelledError):
            self._open -= 1
            self._end(call, 0)
            return
        call.opening = None
        if call.number in self._calls:
            connection.send(call)
        else:
            connection.abort()

    def answered(self, connection: Connection, call: Call, status: int, version: str, *, keep: bool) -> None:
        """Settle a call whose complete response was read on ``connection``."""
        self._end(call, status, version)
        if not keep:
            if connection.transport is not None:
                connection.transport.close()
        elif self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.setdefault(connection.address, []).append(connection)

    def lost(self, connection: Connection, call: Call | None) -> None:
        """Handle a closed connection and its pending ``call``, if any."""
        self._open -= 1
        idle = self._idle.get(connection.address, [])
        if connection in idle:
            idle.remove(connection)
        if call is not None and call.number in self._calls:
            if connection.answered and not connection.reading and not call.sent_again:
                call.sent_again = True
                self._dispatch(call, fresh=True)
            else:
                self._end(call, 0)
        if self._waiting and self._open < MAX_CONNECTIONS:
            self._dispatch(self._waiting.popleft())

    def _end(self, call: Call, status: int, version: str = "") -> None:
        if self._calls.pop(call.number, None) is not None:
            self._settle(call, status, version)

    def sweep(self) -> None:
        """Settle calls that exceed the timeout, and reload changed endpoints."""
        self._services.reload()
        now = asyncio.get_running_loop().time()
        for call in list(self._calls.values()):
            if now - call.due_s < self._timeout_s:
                break
            self._end(call, 0)
            if call in self._waiting:
                self._waiting.remove(call)
            if call.connection is not None:
                call.connection.abort()
            elif call.opening is not None:
                call.opening.cancel()


def service_url(variable: str, url: str) -> SplitResult:
    """Parse a service URL from a variable; raise ValueError with the variable's name if it is not valid."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{variable}: {url!r} is not an http:// URL (the sidecar adds TLS)")
    return parts


def client_of_target(target: SplitResult, env: Mapping[str, str], settle: Settle, *, agent: str) -> Client:
    """Create a client for one service from environment variables.

    The variables are HTTP_PROXY (the pod's sidecar), MESHKIT_SERVICES and POD_NAMESPACE (without a sidecar),
    and TIMEOUT_S (default 10).
    """
    proxy = env.get("HTTP_PROXY") or None
    return Client(
        target.hostname or "",
        target.port or 80,
        agent=agent,
        proxy=urlsplit(proxy).netloc if proxy else None,
        services=Services(
            Path(env.get("MESHKIT_SERVICES", "services.json")), env.get("POD_NAMESPACE", "default")
        ),
        settle=settle,
        timeout_s=float(env.get("TIMEOUT_S") or 10.0),
    )
