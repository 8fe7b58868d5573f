"""Asks the administration interface of a pod's Envoy.

It listens on a socket in the pod's folder: on a TCP port, every user of the machine could end the proxy.
"""

from __future__ import annotations

from pathlib import Path

import aiohttp

from meshkit.sandbox.dataplane.pod_directory import admin_socket

TIMEOUT_S = 2.0


async def ask(pod_dir: Path, path: str, **query: str) -> tuple[int, str]:
    """Return the status and the text of a GET; raise aiohttp.ClientError, OSError or TimeoutError."""
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(admin_socket(pod_dir))),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        ) as session,
        session.get(f"http://envoy{path}", params=query) as answer,
    ):
        return answer.status, await answer.text()
