"""Istio's traffic resources through real Envoys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mini_mesh import MiniMesh, shop


def virtual_service(*http: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "shop", "uid": "vs", "generation": 1}
    return {"metadata": meta, "spec": {"hosts": ["web"], "http": list(http)}}


def to(subset: str, weight: int = 100) -> dict[str, Any]:
    return {"destination": {"host": "web", "subset": subset}, "weight": weight}


def destination_rule(**policy: Any) -> dict[str, Any]:
    subsets = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
    meta = {"name": "web", "namespace": "shop", "uid": "dr", "generation": 1}
    return {"metadata": meta, "spec": {"host": "web", "subsets": subsets, "trafficPolicy": policy}}


def run(directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop("istio", directory) as mesh:
            await body(mesh)

    asyncio.run(main())


def test_without_a_route_both_versions_answer(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        seen = await mesh.split("client", 40)
        assert set(seen) == {(200, "web-v1"), (200, "web-v2")}

    run(tmp_path, body)


def test_weights_subsets_and_header_matches(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule()]
        header = {"match": [{"headers": {"x-user": {"exact": "jason"}}}], "route": [to("v2")]}
        mesh.objects["virtualservices"] = [virtual_service(header, {"route": [to("v1", 80), to("v2", 20)]})]
        await mesh.apply()
        seen = await mesh.split("client", 400)
        assert 48 <= seen[(200, "web-v2")] <= 112  # 80 +- 4 sigma
        assert await mesh.split("client", 5, headers={"x-user": "jason"}) == {(200, "web-v2"): 5}
        text = mesh.metrics["client"].exposition
        for _ in range(50):
            if 'destination_version="v2"' in text():
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        assert total(text(), "istio_requests_total", 'reporter="source"') == 405
        assert total(mesh.metrics["web-v2"].exposition(), "istio_requests_total", 'policy="mutual_tls"') > 0

    run(tmp_path, body)


def total(page: str, name: str, having: str) -> float:
    return sum(
        float(x.rsplit(" ", 1)[1]) for x in page.splitlines() if x.startswith(name + "{") and having in x
    )


def test_fault_timeout_and_retries(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule()]
        abort = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
        delay = {"delay": {"fixedDelay": "0.15s", "percentage": {"value": 100}}}
        mesh.objects["virtualservices"] = [
            virtual_service(
                {"match": [{"uri": {"prefix": "/abort"}}], "fault": abort, "route": [to("v1")]},
                {"match": [{"uri": {"exact": "/late"}}], "fault": delay, "route": [to("v1")]},
                {"match": [{"method": {"exact": "PUT"}}], "timeout": "0.1s", "route": [to("v2")]},
                {"retries": {"attempts": 3, "retryOn": "503"}, "route": [to("v1")]},
            )
        ]
        await mesh.apply()
        assert (await mesh.get("client", "http://web:8080/abort/x"))[0] == 418
        start = asyncio.get_running_loop().time()
        assert (await mesh.get("client", "http://web:8080/late"))[0] == 200
        assert asyncio.get_running_loop().time() - start > 0.14
        mesh.delay_s["web-v2"] = 0.3
        assert (await mesh.get("client", method="PUT"))[0] == 504
        mesh.answers["web-v1"] = 503
        before = mesh.hits["web-v1"]
        assert (await mesh.get("client"))[0] == 503
        assert mesh.hits["web-v1"] - before == 4

    run(tmp_path, body)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
def test_peer_authentication(tmp_path: Path, mode: str) -> None:
    async def body(mesh: MiniMesh) -> None:
        meta = {"name": "default", "namespace": "shop"}
        mesh.objects["peerauthentications"] = [{"metadata": meta, "spec": {"mtls": {"mode": mode}}}]
        await mesh.apply()
        assert (await mesh.get("client"))[0] == 200
        try:
            async with mesh.session.get(f"http://{mesh._ips['web-v1']}:8080/") as answer:
                plain = answer.status
        except OSError:
            plain = 0
        assert plain == (0 if mode == "STRICT" else 200)
        await asyncio.sleep(0.4)
        pages = mesh.metrics["web-v1"].exposition() + mesh.metrics["web-v2"].exposition()
        assert ('connection_security_policy="mutual_tls"' in pages) == (mode != "DISABLE")

    run(tmp_path, body)
