"""Readiness and liveness probes by HTTP GET or TCP connect, over TCP or a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

STARVED_S = 0.25
"""A timeout that is noticed this late means that this process had no CPU, not that the pod failed."""
ATTEMPTS = 3
STARTING_PERIOD_S = 0.1
"""The period of a probe until its first success.

It is shorter than usual periods because pods of the sandbox become ready within a second.
"""


@dataclass(frozen=True)
class Probe:
    """A probe of a container; ``path`` is None for a TCP probe."""

    port: int
    path: str | None
    period_s: float
    timeout_s: float
    initial_delay_s: float
    failures: int

    @classmethod
    def of(cls, spec: Mapping[str, Any], container: Mapping[str, Any]) -> Probe:
        """Parse a probe of the pod's spec, with Kubernetes' defaults.

        Raises ValueError for unsupported probes.
        """
        if "httpGet" in spec:
            target, path = spec["httpGet"], str(spec["httpGet"].get("path") or "/")
        elif "tcpSocket" in spec:
            target, path = spec["tcpSocket"], None
        else:
            raise ValueError("the sandbox supports only httpGet and tcpSocket probes")
        if target.get("scheme", "HTTP") != "HTTP":
            raise ValueError("the sandbox supports only probes with scheme HTTP")
        return cls(
            port=port_number(target["port"], container),
            path=path,
            period_s=float(spec.get("periodSeconds", 10)),
            timeout_s=float(spec.get("timeoutSeconds", 1)),
            initial_delay_s=float(spec.get("initialDelaySeconds", 0)),
            failures=int(spec.get("failureThreshold", 3)),
        )

    async def succeeds(self, address: str) -> bool:
        """Probe ``tcp:HOST:PORT`` or ``unix:PATH`` once; HTTP succeeds with a status from 200 to 399."""
        try:
            return await in_time(lambda: self._ask(address), self.timeout_s)
        except (OSError, TimeoutError, ValueError):
            return False

    async def _ask(self, address: str) -> bool:
        if self.path is None:
            _, writer = await _connect(address)
            writer.close()
            return True
        return 200 <= await http_status(address, self.path) < 400


async def in_time(ask: Callable[[], Awaitable[T]], timeout_s: float) -> T:
    """Return the pod's answer within ``timeout_s`` or raise TimeoutError.

    The request is repeated when this process had no CPU for so long that it could not have read an answer in
    time. Otherwise, on a busy machine, all pods would fail their probes at once.
    """
    loop = asyncio.get_running_loop()
    attempts_left = ATTEMPTS
    while True:
        attempts_left -= 1
        due_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await ask()
        except TimeoutError:
            if not attempts_left or loop.time() - due_s < STARVED_S:
                raise


def port_number(port: int | str, container: Mapping[str, Any]) -> int:
    """Resolve a port number or the name of a container port; raise ValueError for an unknown name."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for entry in container.get("ports") or ():
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise ValueError(f"port {port!r} is not a port of the container")


async def http_status(address: str, path: str) -> int:
    """Return the status of GET ``path``; raise OSError or ValueError without a valid response."""
    reader, writer = await _connect(address)
    try:
        host = address.removeprefix("tcp:") if address.startswith("tcp:") else "localhost"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        status_line = await reader.readline()
        return int(status_line.split(b" ", 2)[1])
    except IndexError:
        raise ValueError("not an HTTP response") from None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(rest)
    host, _, port = rest.rpartition(":")
    return await asyncio.open_connection(host, int(port))
