"""Linkerd's routes and policies through real Envoys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from meshkit.meshes.linkerd.meaning import authorization as linkerd_authorization
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.sandbox.dataplane.render import actions as render
from tests.chance import usual
from tests.unit.sandbox_dataplane.istio_objects import total
from tests.unit.sandbox_dataplane.linkerd_objects import (
    to,
)
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop


def run(directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop("linkerd", directory) as mesh:
            await body(mesh)

    asyncio.run(main())


def route(*rules: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "web-primary", "namespace": "shop", "uid": "hr", "generation": 1}
    parent = {"group": "core", "kind": "Service", "name": "web", "port": 8080}
    return {"metadata": meta, "spec": {"parentRefs": [parent], "rules": list(rules)}}


def test_weights_matches_and_precedence(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        header = {"headers": [{"name": "X-User", "value": "jason"}]}
        long_path = {"path": {"type": "PathPrefix", "value": "/a/b"}}
        mesh.objects["httproutes"] = [
            route(
                {"backendRefs": [to("web-v1", 80), to("web-v2", 20)]},
                {"matches": [header], "backendRefs": [to("web-v2")]},
                {"matches": [{"path": {"value": "/a"}}], "backendRefs": [to("web-v2")]},
                {"matches": [long_path], "backendRefs": [to("web-v1")]},
            )
        ]
        await mesh.apply()
        seen = await mesh.split("client", 300)
        assert seen[(200, "web-v2")] in usual(0.2, 300)
        assert (await mesh.get("client", headers={"x-user": "jason"}))[1] == "web-v2"
        assert (await mesh.get("client", "http://web:8080/a/c"))[1] == "web-v2"
        assert (await mesh.get("client", "http://web:8080/a/b/c"))[1] == "web-v1"
        client_id = 'client_id="client.shop.serviceaccount.identity.linkerd.cluster.local"'

        def counted() -> None:
            page = mesh.metrics["client"].exposition()
            assert total(page, "response_total", 'direction="outbound"') == 303
            assert total(page, "response_total", 'tls="true"') == 303
            of_v2 = total(page, "outbound_http_route_backend_requests_total", 'backend_name="web-v2"')
            assert of_v2 == seen[(200, "web-v2")] + 2
            inbound = mesh.metrics["web-v1"].exposition()
            assert total(inbound, "request_total", client_id) == seen[(200, "web-v1")] + 1

        await mesh.eventually(counted)

    run(tmp_path, body)


def test_strict_inbound_policy_answers_403_to_unmeshed_callers(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        for pod in mesh.objects["pods"]:
            pod["metadata"]["annotations"][linkerd_authorization.INBOUND_POLICY] = "all-authenticated"
        await mesh.apply()
        assert (await mesh.get("client"))[0] == 200
        async with mesh.session.get(f"http://{mesh._ips['web-v1']}:8080/") as answer:
            assert answer.status == 403

    run(tmp_path, body)


def test_timeouts_retries_and_missing_backends(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        item = route(
            {
                "matches": [{"path": {"value": "/late"}}],
                "timeouts": {"request": "100ms"},
                "backendRefs": [to("web-v2")],
            },
            {"matches": [{"path": {"value": "/gone"}}], "backendRefs": [to("web-v9")]},
            {"backendRefs": [to("web-v1")]},
        )
        mesh.objects["httproutes"] = [item]
        await mesh.apply()
        mesh.delay_s["web-v2"] = 30
        mesh.answers["web-v1"] = 503
        assert (await mesh.get("client", "http://web:8080/late"))[0] == 504
        assert (await mesh.get("client", "http://web:8080/gone"))[0] == 500
        assert (await mesh.get("client"))[0] == 503
        assert mesh.hits["web-v1"] == 1
        item["metadata"]["annotations"] = {"retry.linkerd.io/http": "5xx", "retry.linkerd.io/limit": "2"}
        await mesh.apply()
        assert (await mesh.get("client"))[0] == 503
        assert mesh.hits["web-v1"] == 4

    run(tmp_path, body)


def test_a_route_with_an_unknown_filter_is_dropped_whole(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "x"}}
        mesh.objects["httproutes"] = [
            route({"backendRefs": [to("web-v2")]}, {"filters": [rewrite], "backendRefs": [to("web-v2")]})
        ]
        await mesh.apply()
        assert set(await mesh.split("client", 30)) == {(200, "web-v1"), (200, "web-v2")}
        problems = linkerd.outbound(mesh.registry(), "shop").problems
        assert [problem.reason for problem in problems] == ["RouteDropped"]

    run(tmp_path, body)


def test_a_header_value_is_sent_as_it_stands(tmp_path: Path) -> None:
    """Envoy would take one '%' for the beginning of a variable, and refuse the route."""

    async def body(mesh: MiniMesh) -> None:
        edits = {"set": [{"name": "x-load", "value": "50% of %REQ(x)%"}]}
        sides = [
            {"type": f"{side}HeaderModifier", f"{side.lower()}HeaderModifier": edits}
            for side in ("Request", "Response")
        ]
        mesh.objects["httproutes"] = [route({"filters": sides, "backendRefs": [to("web-v2")]})]
        await mesh.apply()
        assert set(await mesh.split("client", 10)) == {(200, "web-v2")}
        (host,) = [each for each in linkerd.outbound(mesh.registry(), "shop").hosts if each.routes[0].source]
        found = render.header_edits(host.routes[0].response_headers, "response")["response_headers_to_add"]
        assert found[0]["header"]["value"] == "50%% of %%REQ(x)%%"

    run(tmp_path, body)


def test_annotations_of_the_service_hold_where_no_route_is(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        services = {item["metadata"]["name"]: item["metadata"] for item in mesh.objects["services"]}
        services["web-v1"]["annotations"] = {"retry.linkerd.io/http": "503", "retry.linkerd.io/limit": "3"}
        services["web-v2"]["annotations"] = {"timeout.linkerd.io/request": "100ms"}
        await mesh.apply()
        mesh.answers["web-v1"] = 503
        assert (await mesh.get("client", "http://web-v1:8080/"))[0] == 503
        assert mesh.hits["web-v1"] == 4
        mesh.delay_s["web-v2"] = 30
        assert (await mesh.get("client", "http://web-v2:8080/"))[0] == 504

    run(tmp_path, body)


def test_failure_accrual_breaks_the_circuit_of_a_failing_pod(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        prefix = "balancer.linkerd.io/failure-accrual"
        mesh.objects["services"][0]["metadata"]["annotations"] = {
            prefix: "consecutive",
            f"{prefix}-consecutive-max-failures": "3",
            f"{prefix}-consecutive-min-penalty": "3s",
        }
        await mesh.apply()
        mesh.answers["web-v1"] = 500
        await mesh.until_failed("web-v1", 3)
        mesh.answers["web-v1"] = 200
        await mesh.until_served_by("web-v1")

    run(tmp_path, body)
