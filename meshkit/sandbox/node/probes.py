"""Readiness and liveness probes: HTTP GET and TCP connect, against an address or a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

HELD_UP_S = 0.25
"""A time-out that is noticed this late was missed by this process, not by the pod."""
ATTEMPTS = 3
STARTING_PERIOD_S = 0.1
"""Until its first success a probe runs this often, whatever its period.

Pods of the sandbox are ready in a second.
"""


@dataclass(frozen=True)
class Probe:
    """One probe of a container. ``path`` is None for a TCP probe."""

    port: int
    path: str | None
    period_s: float
    timeout_s: float
    initial_delay_s: float
    failures: int

    @classmethod
    def of(cls, spec: Mapping[str, Any], container: Mapping[str, Any]) -> Probe:
        """A probe as the pod's spec has it, with Kubernetes' defaults.

        Raises ValueError for what is not supported.
        """
        if "httpGet" in spec:
            target, path = spec["httpGet"], str(spec["httpGet"].get("path") or "/")
        elif "tcpSocket" in spec:
            target, path = spec["tcpSocket"], None
        else:
            raise ValueError("only httpGet and tcpSocket probes are known to the sandbox")
        if target.get("scheme", "HTTP") != "HTTP":
            raise ValueError("only plain HTTP probes are known to the sandbox")
        return cls(
            port=port_number(target["port"], container),
            path=path,
            period_s=float(spec.get("periodSeconds", 10)),
            timeout_s=float(spec.get("timeoutSeconds", 1)),
            initial_delay_s=float(spec.get("initialDelaySeconds", 0)),
            failures=int(spec.get("failureThreshold", 3)),
        )

    async def succeeds(self, address: str) -> bool:
        """Probe ``tcp:HOST:PORT`` or ``unix:PATH`` once: connected, and for HTTP a status from 200 to 399."""
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
    """The answer of a pod, within ``timeout_s``. Raises TimeoutError.

    Where this process got no CPU for so long that it could not have seen an answer in time, the pod is asked
    again: on a busy machine all pods would fail at once for a fault of their prober.
    """
    loop = asyncio.get_running_loop()
    left = ATTEMPTS
    while True:
        left -= 1
        due_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await ask()
        except TimeoutError:
            if not left or loop.time() - due_s < HELD_UP_S:
                raise


def port_number(port: int | str, container: Mapping[str, Any]) -> int:
    """A port given by number or by the name that the container gives it. Raises ValueError."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for each in container.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    raise ValueError(f"port {port!r} is not a port of the container")


async def http_status(address: str, path: str) -> int:
    """The status of GET ``path``. Raises OSError or ValueError without a proper answer."""
    reader, writer = await _connect(address)
    try:
        host = address.removeprefix("tcp:") if address.startswith("tcp:") else "localhost"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        status_line = await reader.readline()
        return int(status_line.split(b" ", 2)[1])
    except IndexError:
        raise ValueError("not an HTTP answer") from None
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
