"""Requests through a sidecar, with status, headers and body of the answer."""

from __future__ import annotations

from typing import Any

from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh

Answer = tuple[int, dict[str, str], str]


async def ask(mesh: MiniMesh, path: str = "/", host: str = "web:8080", **options: Any) -> Answer:
    """Status, headers and body of a request of the client's application; redirects are not followed."""
    proxy = f"http://{mesh.address('client')}:15001"
    method = options.pop("method", "GET")
    async with mesh.session.request(
        method, f"http://{host}{path}", proxy=proxy, allow_redirects=False, **options
    ) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, headers, await answer.text()
