"""The callers of one pod, by mutual TLS or in plain text, and what it answers them."""

from __future__ import annotations

import aiohttp

from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh

CLIENT, WEB, PLAIN = "client", "web-v1", "plain"


async def status(mesh: MiniMesh, caller: str, path: str = "/", method: str = "GET", **headers: str) -> int:
    """What web-v2 answers a caller: an account by mutual TLS, or plain text."""
    if caller != PLAIN:
        return (await mesh.get(caller, f"http://two:8080{path}", headers, method))[0]
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"http://{mesh._ips['web-v2']}:8080{path}"
        async with session.request(method, url, headers=headers) as answer:
            return answer.status


def only_v2(mesh: MiniMesh) -> None:
    """The Service ``two`` is web-v2 alone, so that every answer is by the same pod."""
    item = {"metadata": {"name": "two", "namespace": "shop", "uid": "svc-two"}}
    ports = [{"name": "http", "port": 8080, "targetPort": 8080}]
    spec = {"selector": {"version": "v2"}, "ports": ports, "clusterIP": "10.96.9.9"}
    mesh.objects["services"].append({**item, "spec": spec})
