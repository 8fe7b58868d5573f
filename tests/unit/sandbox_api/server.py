"""The sandbox's API served on loopback, and a connection to it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from meshkit.sandbox.api.app import ApiServer, NodeHooks, serve
from meshkit.sandbox.home import SandboxHome

CM = "/api/v1/namespaces/default/configmaps"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Connection:
    """An administrator's HTTPS connection to a served API."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession, home: SandboxHome) -> None:
        self.server = server
        self.session = session
        self.home = home

    def url(self, path: str) -> URL:
        return URL(f"https://127.0.0.1:{self.server.port}{path}", encoded=True)

    async def request(self, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
        async with self.session.request(method, self.url(path), **more) as answer:
            text = await answer.text()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return answer.status, json.loads(text) if is_json and text else text, answer.headers


@asynccontextmanager
async def connected(
    folder: Path,
    logs: Callable[..., Any] = lambda *_, **__: "",
    connections: int = 100,  # at once; 0 for no bound
    **more: Any,  # of NodeHooks
) -> AsyncIterator[Connection]:
    home = SandboxHome(folder / "sandbox")
    server = await serve(home, 0, NodeHooks(logs, **more))
    context = ssl.create_default_context(cafile=str(home.ca_certificate))
    headers = {"Authorization": f"Bearer {home.token.read_text()}"}
    connector = aiohttp.TCPConnector(ssl=context, limit=connections)
    try:
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield Connection(server, session, home)
    finally:
        await server.close()


def run(scenario: Callable[[Connection], Awaitable[None]], folder: Path, **more: Any) -> None:
    async def whole() -> None:
        async with connected(folder, **more) as connection:
            await scenario(connection)

    asyncio.run(whole())
