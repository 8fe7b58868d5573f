"""What a pod's Envoy needs around it: first files, a reader of its access log, and the mesh's metrics page.

The metrics page stands where the mesh has it and is served by the daemon, which counts every line of the
access log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshkit.meshes.model.pods import is_control_plane
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.config_server import ConfigServer
from meshkit.sandbox.dataplane.exposition import PeerLookup
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from meshkit.sandbox.dataplane.pod_directory import introduction
from meshkit.sandbox.node.probes import http_status, in_time

READY_TIMEOUT_S = 3.0


class Sidecar:
    """The surroundings of one pod's Envoy."""

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
        self.metrics = plane.metrics(pod, peers)
        self._page: asyncio.Server | None = None
        self._config = ConfigServer(pod_dir, watch)

    async def open(self) -> None:
        """Write Envoy's first files, serve its configuration, and the metrics page."""
        envoy.prepare(self._pod_dir, pod=self._pod, pod_ip=self._ip)
        await self._config.open()
        self._page = await asyncio.start_server(self._answer, self._ip, self._port)

    def introduce(self, env: Mapping[str, str]) -> None:
        """Say in the pod's folder whose proxy this is, and which roots it was told to trust."""
        told = {"mesh": self._proxy.mesh, "roots": env.get(self._proxy.roots_variable, "")}
        envoy.replace(introduction(self._pod_dir), json.dumps(told))

    def close(self) -> None:
        """Serve no more."""
        self._config.close()
        if self._page is not None:
            self._page.close()

    def count(self, lines: list[bytes]) -> None:
        """Count lines of the access log."""
        for line in lines:
            self.metrics.observe(line.decode(errors="replace"))

    async def is_ready(self) -> bool:
        """Envoy answers, and a control plane has given it its listeners.

        That of a control plane's own pod waits for nobody: the pod is what it would wait for.
        """
        if not (envoy.is_configured(self._pod_dir) or is_control_plane(self._pod, self._proxy)):
            return False
        try:
            admin = f"tcp:{self._ip}:{envoy.ADMIN_PORT}"
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

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].partition(b"?")[0].decode()
            status, body = await self._page_at(path)
            content = body.encode()
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\n"
                f"content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
                + content
            )
            await writer.drain()
        writer.close()
