"""Closes connections that send no request, or only a part of one.

Whoever can connect to the port could otherwise hold all of the server's file descriptors without a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from aiohttp import web

IDLE_S = 90.0
"""kube-apiserver's idle timeout; a connection on which no request has been answered for so long is closed."""
BODY_S = 60.0
"""kube-apiserver's request timeout, in which a body has to arrive."""
_SWEEPS = 10

Connections = Callable[[], Iterable[web.RequestHandler]]


class IdleConnections:
    """Knows which connections have a request that is being answered, and closes the others in time."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self._timeout_s = IDLE_S if timeout_s is None else timeout_s
        self._busy: set[web.RequestHandler] = set()
        self._idle_since_s: dict[web.RequestHandler, float] = {}

    @contextmanager
    def answering(self, request: web.Request) -> Iterator[None]:
        """Mark the request's connection as busy within a ``with`` block."""
        self._busy.add(request.protocol)
        try:
            yield
        finally:
            self._busy.discard(request.protocol)
            self._idle_since_s[request.protocol] = asyncio.get_running_loop().time()

    async def close_late(self, connections: Connections) -> None:
        """Close connections that have been idle for the timeout, until cancelled."""
        while True:
            await asyncio.sleep(self._timeout_s / _SWEEPS)
            now_s = asyncio.get_running_loop().time()
            self._idle_since_s = {each: self._idle_since_s.get(each, now_s) for each in connections()}
            for connection, since_s in self._idle_since_s.items():
                is_late = connection not in self._busy and now_s - since_s > self._timeout_s
                if is_late and connection.transport is not None:
                    connection.transport.abort()
