"""Bound the time and the length of an API server's answers."""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from typing import Any

MOST_BYTES = 512 * 1024 * 1024
"""The longest answer that is read from an API server."""


def bound_answers(pools: Any) -> None:
    """Let the read timeout of a request hold for its whole answer, headers and body, and bound its length.

    urllib3 applies it to each read, so a server that sends a byte a minute would hold a verb for ever.
    """
    from http.client import HTTPResponse

    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.poolmanager import pool_classes_by_scheme

    class BoundedResponse(HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            self.fp = io.BufferedReader(_Answer(self.fp.detach(), sock))

    class Plain(HTTPConnection):
        response_class = BoundedResponse

    class Secure(HTTPSConnection):
        response_class = BoundedResponse

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    if pools.pool_classes_by_scheme is pool_classes_by_scheme:  # not those of a SOCKS proxy
        pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


class _Answer(io.RawIOBase):
    """The bytes of one answer, which end after the socket's timeout and after MOST_BYTES."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._connection = raw, connection
        self._timeout_s = connection.gettimeout()
        self._until_s = time.monotonic() + (self._timeout_s or 0.0)
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._timeout_s is not None:
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"the answer took more than {self._timeout_s:g} s")
            self._connection.settimeout(left_s)
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise OSError(f"the answer has more than {MOST_BYTES} bytes")
        return count

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError):
                self._connection.settimeout(self._timeout_s)  # the next request begins with its whole time
            self._raw.close()
        super().close()
