"""Supports a pod's Envoy with initial files, an access log reader and the mesh's metrics page.

The daemon serves the metrics page on the port and path of the real mesh, and counts every line of the access
log for it.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from meshkit.meshes.model import patterns
from meshkit.meshes.model.pods import is_control_plane
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.config_server import ConfigServer
from meshkit.sandbox.dataplane.exposition import PeerLookup
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from meshkit.sandbox.dataplane.pod_directory import admin_socket, proxy_info_file
from meshkit.sandbox.node.probes import http_status, in_time

READY_TIMEOUT_S = 3.0
REQUEST_TIMEOUT_S = 10.0
"""A client that has not sent its request, or not read the answer, by then is disconnected."""
MOST_STATES = 10_000
"""Of an expression that filters the metrics: every user of the machine can send one."""


class Sidecar:
    """Manages the files, the configuration server and the metrics page of one pod's Envoy."""

    def __init__(
        self,
        pod: dict[str, Any],
        plane: DataPlane,
        ip: str,
        pod_dir: Path,
        peers: PeerLookup,
        watch: FolderWatch,
    ) -> None:
        self._pod, self._ip, self._pod_dir, self._proxy = pod, ip, pod_dir, plane.proxy
        self._port, self._path = plane.page
        self._filtered_port = plane.filtered_port
        self.metrics = plane.metrics(pod, peers)
        self._pages: list[asyncio.Server] = []
        self._config = ConfigServer(pod_dir, watch)

    async def open(self) -> None:
        """Write Envoy's initial files and serve its configuration and metrics page."""
        envoy.prepare(self._pod_dir, pod=self._pod, pod_ip=self._ip)
        await self._config.open()
        self._pages.append(await asyncio.start_server(self._answer, self._ip, self._port))
        if self._filtered_port:
            self._pages.append(await asyncio.start_server(self._filter, self._ip, self._filtered_port))

    def write_proxy_info(self, env: Mapping[str, str]) -> None:
        """Write the proxy's mesh and its trusted roots into the pod's folder."""
        info = {"mesh": self._proxy.mesh, "roots": env.get(self._proxy.roots_variable, "")}
        envoy.replace(proxy_info_file(self._pod_dir), json.dumps(info))

    def close(self) -> None:
        """Stop serving the configuration and the metrics page."""
        self._config.close()
        for page in self._pages:
            page.close()

    def count(self, lines: list[bytes]) -> None:
        """Count lines of the access log in the metrics."""
        for line in lines:
            self.metrics.observe(line.decode(errors="replace"))

    async def is_ready(self) -> bool:
        """Return whether Envoy answers and has received its listeners from a control plane.

        The proxy of a control plane's own pod does not wait for listeners, because no control plane can send
        them before that pod is ready.
        """
        if not (envoy.is_configured(self._pod_dir) or is_control_plane(self._pod, self._proxy)):
            return False
        try:
            admin = f"unix:{admin_socket(self._pod_dir)}"
            return await in_time(lambda: http_status(admin, "/ready"), READY_TIMEOUT_S) == 200
        except (OSError, TimeoutError, ValueError):
            return False

    async def _page_at(self, path: str) -> tuple[str, str]:
        if path == self._path:
            return "200 OK", self.metrics.exposition()
        if path == "/live":
            return "200 OK", "live\n"
        if path == "/ready":
            return ("200 OK", "ready\n") if await self.is_ready() else ("503 Service Unavailable", "")
        return "404 Not Found", ""

    async def _filtered_at(self, path: str) -> tuple[str, str]:
        """Envoy's own page, with the statistics in whose names it finds the expression ``filter``."""
        path, _, query = path.partition("?")
        if path != self._path:
            return "404 Not Found", ""
        wanted = dict(urllib.parse.parse_qsl(query)).get("filter", "")
        try:
            if patterns.states(wanted) > MOST_STATES:
                raise patterns.TooCostly
            return "200 OK", self.metrics.exposition(wanted)
        except (patterns.Unreadable, patterns.TooCostly):
            return "400 Bad Request", "Invalid re2 regex"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _served(reader, writer, lambda path: self._page_at(path.partition("?")[0]))

    async def _filter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _served(reader, writer, self._filtered_at)


async def _served(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    page_at: Callable[[str], Awaitable[tuple[str, str]]],
) -> None:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        path = (head.split(b" ", 2)[1:2] or [b""])[0].decode(errors="replace")
        status, body = await page_at(path)
        content = body.encode()
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
            + content
        )
        writer.close()
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.transport.abort()
