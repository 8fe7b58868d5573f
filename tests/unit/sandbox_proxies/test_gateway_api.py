"""Gateway API's routes on Services, as each mesh takes them, through real Envoys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mini_mesh import MiniMesh, shop
from test_linkerd_traffic import to

from meshkit.sandbox.proxies import linkerd


def run(mesh: str, directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop(mesh, directory) as made:
            await body(made)

    asyncio.run(main())


def route(name: str, *rules: dict[str, Any], created: str = "2026-01-01", **parent: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "uid": name, "generation": 1, "creationTimestamp": created}
    on = {"group": "", "kind": "Service", "name": "web", **parent}
    return {"metadata": meta, "spec": {"parentRefs": [on], "rules": list(rules)}}


def path(value: str, kind: str = "PathPrefix") -> dict[str, Any]:
    return {"path": {"type": kind, "value": value}}


async def answer(mesh: MiniMesh, where: str, **headers: str) -> tuple[int, str]:
    """The status, and what the answer says: its Location, or the pod that gave it."""
    proxy = f"http://{mesh._ips['client']}:15001"
    url = f"http://web:8080{where}"
    async with mesh.session.get(url, proxy=proxy, headers=headers, allow_redirects=False) as got:
        return got.status, got.headers.get("location") or await got.text()


def test_linkerd_redirects_and_edits_headers_of_one_backend(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        away = {"hostname": "other", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}
        redirect = {"type": "RequestRedirect", "requestRedirect": {**away, "statusCode": 301}}
        said = {"set": [{"name": "x-by", "value": "v2"}]}
        marked = {"type": "ResponseHeaderModifier", "responseHeaderModifier": said}
        mesh.objects["httproutes"] = [
            route(
                "r",
                {"matches": [path("/old")], "filters": [redirect]},
                {"backendRefs": [{**to("web-v2"), "filters": [marked]}]},
            )
        ]
        await mesh.apply()
        assert await answer(mesh, "/old/x") == (301, "http://other/new")
        proxy = f"http://{mesh._ips['client']}:15001"
        async with mesh.session.get("http://web:8080/", proxy=proxy) as got:
            assert (await got.text(), got.headers["x-by"]) == ("web-v2", "v2")

    run("linkerd", tmp_path, body)


def test_linkerd_serves_one_kind_of_route_on_a_port(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        ports = mesh.objects["services"][0]["spec"]["ports"]
        call = {"method": {"service": "shop.Cart", "method": "Add"}}
        mesh.objects["httproutes"] = [route("http", {"backendRefs": [to("web-v1")]})]
        mesh.objects["grpcroutes"] = [route("grpc", {"matches": [call], "backendRefs": [to("web-v2")]})]
        await mesh.apply()
        assert await answer(mesh, "/shop.Cart/Add") == (200, "web-v2")
        assert (await answer(mesh, "/"))[0] == 404
        ports[0]["appProtocol"] = "http"
        await mesh.apply()
        assert await answer(mesh, "/shop.Cart/Add") == (200, "web-v1")
        ports[0]["appProtocol"] = "grpc"
        await mesh.apply()
        assert set(await mesh.split("client", 20)) == {(200, "web-v1"), (200, "web-v2")}
        problems = linkerd.outbound(mesh.registry(), "shop").problems
        assert [problem.reason for problem in problems] == ["OpaquePort"]

    run("linkerd", tmp_path, body)


def test_linkerds_own_routes_are_read_as_linkerd_reads_them(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        header = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["x-user"]}}
        own = route("own", {"matches": [path("/a")], "filters": [header], "backendRefs": [to("web-v2")]})
        mesh.objects["httproutes.policy"] = [own]
        mesh.objects["httproutes"] = [route("other", {"backendRefs": [to("web-v1")]}, created="2026-02-02")]
        await mesh.apply()
        assert await answer(mesh, "/a") == (200, "web-v2")
        assert await answer(mesh, "/b") == (200, "web-v1")
        outbound = linkerd.outbound(mesh.registry(), "shop")
        (first, _) = next(host.routes for host in outbound.hosts if host.service.startswith("web."))
        assert first.request_headers.remove == ("x-user",)
        assert [problem.reason for problem in outbound.problems] == ["FilterConfused"]

    run("linkerd", tmp_path, body)
