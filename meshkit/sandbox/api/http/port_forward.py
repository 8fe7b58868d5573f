"""Forward TCP connections of a client to the programs of a pod (``pods/portforward``).

One WebSocket carries one of two protocols. kubectl tunnels SPDY/3.1: each connection is a stream of data,
with a stream for its error. The Python client uses channels: each port has one connection, on a channel for
its data, and the next channel for its error.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from meshkit.sandbox.api import status
from meshkit.sandbox.api.http import spdy

TUNNEL, CHANNELS = "SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"
MAX_MESSAGE_BYTES = 1 << 22
MAX_STREAMS = 512
"""Streams of one client at once: 256 connections."""
MAX_PORTS = 100
_MAX_PORT_DIGITS = 5
_CHUNK_BYTES = 1 << 15
_WAITING = 64
"""Messages that wait for one connection before the client's next message is read."""
_PORT = struct.Struct("<H")

Object = Mapping[str, Any]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Sends = Callable[[bytes], Awaitable[None]]
Ends = Callable[[str], Awaitable[None]]


class Dialer(Protocol):
    """Interface for connecting to a program of a pod."""

    def __call__(self, pod: Object, port: int) -> Awaitable[Connection]:
        """Connect to what listens on the port inside the pod, behind its sidecar. Raises OSError."""


async def forward(request: web.Request, pod: Object, dial: Dialer) -> web.StreamResponse:
    """Serve one client until it leaves. Raises ApiError before the connection is upgraded."""
    upgrade = request.headers.get("Upgrade", "")
    if not upgrade:
        raise status.bad_request("Upgrade request required")
    if upgrade.lower() != "websocket":
        raise status.bad_request(
            f"the sandbox forwards ports over WebSockets (kubectl 1.31 and later), not over {upgrade}"
        )
    if (pod.get("status") or {}).get("phase") != "Running":
        raise status.bad_request(f"pod {pod['metadata']['name']} is not running")
    asked = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    protocol = next((each for each in (TUNNEL, CHANNELS) if each in asked), "")
    if not protocol:
        known = f"{TUNNEL} and {CHANNELS}"
        raise status.bad_request(f"the sandbox forwards ports by the protocols {known}, not by {asked}")
    ports = _ports(request) if protocol == CHANNELS else []
    socket = web.WebSocketResponse(protocols=(protocol,), max_msg_size=MAX_MESSAGE_BYTES)
    await socket.prepare(request)
    served = _Channels(socket, pod, dial, ports=ports) if ports else _Tunnel(socket, pod, dial)
    try:
        await served.start()
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await served.receive(message.data)
    except spdy.ProtocolError as error:
        await socket.close(code=1002, message=str(error).encode()[:100])
    except ConnectionError:
        pass  # the client has left while it was written to
    finally:
        served.close()
    return socket


def _ports(request: web.Request) -> list[int]:
    texts = [text for given in request.query.getall("ports", []) for text in given.split(",")]
    if not texts:
        raise status.bad_request('query parameter "ports" is required')
    if len(texts) > MAX_PORTS:
        raise status.bad_request(f"at most {MAX_PORTS} ports are forwarded at once")
    return [_port(text) for text in texts]


def port_number(text: str) -> int | None:
    """The number of a port, or None if the text is none."""
    is_short = text.isascii() and text.isdecimal() and len(text) <= _MAX_PORT_DIGITS
    return int(text) if is_short and 0 < int(text) < 65536 else None


def _port(text: str) -> int:
    number = port_number(text)
    if number is None:
        raise status.bad_request(f"port {text[:20]!r} must be a number from 1 to 65535")
    return number


class _Pipe:
    """One connection to the pod. Bytes for it wait in order until it is open."""

    def __init__(self, dials: Callable[[], Awaitable[Connection]], sends: Sends, ends: Ends) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._task = asyncio.create_task(self._carry(dials, sends, ends))

    async def write(self, data: bytes) -> None:
        """Pass bytes on; empty ones say that no more come."""
        if not self._task.done():
            await self._waiting.put(data)

    def close(self) -> None:
        """End the connection at once."""
        self._task.cancel()

    async def _carry(self, dials: Callable[[], Awaitable[Connection]], sends: Sends, ends: Ends) -> None:
        error = ""
        try:
            reader, writer = await dials()
            filling = asyncio.create_task(self._fill(writer))
            try:
                while data := await reader.read(_CHUNK_BYTES):
                    await sends(data)
            finally:
                filling.cancel()
                writer.close()
        except OSError as failed:
            error = str(failed)
        while not self._waiting.empty():  # a writer that waits for room goes on
            self._waiting.get_nowait()
        with contextlib.suppress(ConnectionError):
            await ends(error)

    async def _fill(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._waiting.get():
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@dataclass
class _Client:
    """The connections of one client, by the number of their stream or channel."""

    socket: web.WebSocketResponse
    pod: Object
    dial: Dialer
    pipes: dict[int, _Pipe] = field(default_factory=dict)

    async def start(self) -> None:
        """Do what comes before the client's first message."""

    async def receive(self, message: bytes) -> None:
        """Take one message of the client. Raises ProtocolError."""
        raise NotImplementedError

    def close(self) -> None:
        """End all connections."""
        for pipe in self.pipes.values():
            pipe.close()

    def refusal(self, port: int, error: str) -> bytes:
        """What the client is told about a connection that failed."""
        return f"port {port} of pod {self.pod['metadata']['name']}: {error}".encode()


@dataclass
class _Tunnel(_Client):
    """Streams of SPDY. ``errors`` has the streams for errors whose data is not opened yet, by request id, and
    ``told`` those of the connections, by the stream of their data.
    """

    errors: dict[str, int] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    framing: spdy.Framing = field(default_factory=spdy.Framing)

    async def receive(self, message: bytes) -> None:
        for frame in self.framing.feed(message):
            if isinstance(frame, spdy.Opened):
                await self._open(frame)
            elif isinstance(frame, spdy.Received) and (pipe := self.pipes.get(frame.stream)):
                if frame.data:
                    await pipe.write(frame.data)
                if frame.ended:
                    await pipe.write(b"")
            elif isinstance(frame, spdy.Reset) and (pipe := self.pipes.pop(frame.stream, None)):
                pipe.close()
                await self._end_error(frame.stream, b"")
            elif isinstance(frame, spdy.Ping):
                await self.socket.send_bytes(frame.frame)

    async def _open(self, opened: spdy.Opened) -> None:
        if len(self.pipes) + len(self.errors) + len(self.told) >= MAX_STREAMS:
            raise spdy.ProtocolError(f"more than {MAX_STREAMS} streams are open")
        stream, request = opened.stream, opened.headers.get("requestid", "")
        kind, text = opened.headers.get("streamtype"), opened.headers.get("port", "")
        port = port_number(text)
        if kind not in ("data", "error") or port is None:
            raise spdy.ProtocolError(f"a stream of type {kind} for port {text[:20]}")
        await self.socket.send_bytes(self.framing.reply(stream))
        if kind == "error":
            self.errors[request] = stream
            return
        if (error_stream := self.errors.pop(request, None)) is not None:
            self.told[stream] = error_stream

        async def sends(data: bytes) -> None:
            await self.socket.send_bytes(spdy.data(stream, data))

        async def ends(error: str) -> None:
            self.pipes.pop(stream, None)
            await self.socket.send_bytes(spdy.data(stream, b"", ended=True))
            await self._end_error(stream, self.refusal(port, error) if error else b"")

        self.pipes[stream] = _Pipe(lambda: self.dial(self.pod, port), sends, ends)

    async def _end_error(self, stream: int, why: bytes) -> None:
        """End the stream for the error of a connection, which the client waits for."""
        if (told := self.told.pop(stream, None)) is not None:
            await self.socket.send_bytes(spdy.data(told, why, ended=True))


@dataclass
class _Channels(_Client):
    """Two channels for each port; a message begins with the number of its channel."""

    ports: list[int] = field(default_factory=list)

    async def start(self) -> None:
        for index, port in enumerate(self.ports):
            for channel in (2 * index, 2 * index + 1):
                await self.socket.send_bytes(bytes((channel,)) + _PORT.pack(port))
            self.pipes[2 * index] = self._pipe(2 * index, port)

    async def receive(self, message: bytes) -> None:
        if len(message) > 1 and (pipe := self.pipes.get(message[0])):
            await pipe.write(message[1:])

    def _pipe(self, channel: int, port: int) -> _Pipe:
        async def sends(data: bytes) -> None:
            await self.socket.send_bytes(bytes((channel,)) + data)

        async def ends(error: str) -> None:
            self.pipes.pop(channel, None)
            if error:
                await self.socket.send_bytes(bytes((channel + 1,)) + self.refusal(port, error))
            if not self.pipes:
                await self.socket.close()

        return _Pipe(lambda: self.dial(self.pod, port), sends, ends)
