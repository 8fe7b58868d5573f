"""The rules of a Route, planned for each mesh, decide about real requests through real Envoys."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.traffic import Route
from meshkit.meshes import registry
from tests.unit.sandbox_dataplane.istio_objects import total
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, service, shop

V2 = {"split": {"v2": 100}}
TESTER = {"headers": {"x-user": {"exact": "tester"}}}
RESOURCES = {
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
    "HTTPRoute": "httproutes",
    "GRPCRoute": "grpcroutes",
}


async def routed(mesh: MiniMesh, *rules: dict[str, Any], **more: Any) -> None:
    """Plan a Route with these rules, v1 getting the rest, and bring it to the proxies."""
    place = {"namespace": "shop", "service": "web", "port": 8080, "split": {"v1": 100}}
    intent = Route(**place, versions=[{"name": "v1"}, {"name": "v2"}], rules=rules, **more)
    held = [{"apiVersion": "v1", "kind": "Service", **each} for each in mesh.objects["services"]]
    for step in registry.mesh(mesh.mesh).planner.plan(intent, Snapshot(tuple(held))):
        if resource := RESOURCES.get(step.object["kind"]):
            meta = {"uid": step.object["kind"], "generation": 1, **step.object["metadata"]}
            mesh.objects[resource] = [{**step.object, "metadata": meta}]
    await mesh.apply()


async def asked(mesh: MiniMesh, path: str, **request: Any) -> str:
    """Who answered a request: a version, or a status that is no 200."""
    status, who = await mesh.get("client", f"http://web:8080{path}", **request)
    return who.removeprefix("web-") if status == 200 else str(status)


@pytest.mark.parametrize(("name", "api"), [("istio", "auto"), ("linkerd", "auto"), ("istio", "gateway")])
def test_requests_go_where_the_first_rule_that_matches_says(name: str, api: str, tmp_path: Path) -> None:
    v7 = {"exact": "/v7"} if api == "gateway" else {"regex": "/v[0-9]+"}

    async def main() -> None:
        async with shop(name, tmp_path) as mesh:
            if (name, api) == ("istio", "gateway"):
                mesh.objects["services"] += [service(f"web-{v}", app="web", version=v) for v in ("v1", "v2")]
            await routed(
                mesh,
                {"matches": [{"path": {"exact": "/health"}}], "split": {"v1": 100}},
                {"matches": [{"path": v7}], **V2},
                {"matches": [{"path": {"prefix": "/api"}, "method": "POST"}], **V2},
                {
                    "matches": [{"path": {"prefix": "/api"}}],
                    "split": {"v1": 100},
                    "request_headers": {"set": {"x-rule": "api"}, "remove": ["x-secret"]},
                },
                {"matches": [{"path": {"prefix": "/old"}}], "redirect": {"path": "/new", "status": 301}},
                {"matches": [TESTER], **V2},
                {"matches": [{"query": {"beta": {"present": True}}}], **V2},
                api=api,
            )
            tester = {"x-user": "tester"}
            expected: list[tuple[str, dict[str, Any], str]] = [
                ("/", {}, "v1"),
                ("/", {"headers": tester}, "v2"),
                ("/health", {"headers": tester}, "v1"),
                ("/v7", {}, "v2"),
                ("/v7/x", {}, "v1"),
                ("/api/x", {"headers": tester}, "v1"),
                ("/api", {"method": "POST"}, "v2"),
                ("/apis", {"headers": tester}, "v2"),
                ("/?beta", {}, "v2"),
                ("/?gamma", {}, "v1"),
            ]
            found = [(path, more, await asked(mesh, path, **more)) for path, more, _ in expected]
            assert found == expected
            await asked(mesh, "/api/x", headers={"x-secret": "1"})
            assert "x-rule: api\r\n" in mesh.heads["web-v1"].lower()
            assert "x-secret" not in mesh.heads["web-v1"].lower()
            proxy = f"http://{mesh.address('client')}:15001"
            async with mesh.session.get(
                "http://web:8080/old/x", proxy=proxy, allow_redirects=False
            ) as answer:
                assert (answer.status, answer.headers["location"]) == (301, "http://web:8080/new")

    asyncio.run(main())


@pytest.mark.parametrize("name", ["istio", pytest.param("linkerd", marks=pytest.mark.soak)])
def test_calls_of_grpc_go_by_their_method_and_are_retried_by_their_status(name: str, tmp_path: Path) -> None:
    """The requests are those of gRPC, a POST to a method's path, by HTTP/1.1."""

    async def main() -> None:
        async with shop(name, tmp_path) as mesh:
            await routed(
                mesh,
                {"matches": [{"grpc": {"service": "shop.Cart", "method": "Add"}}], **V2},
                {"matches": [{"grpc": {"service": "shop.Cart"}}], "split": {"v1": 100}},
                {"matches": [{"grpc": {"method": "Add"}}], **V2},
                retries={"attempts": 2, "grpc_statuses": ["unavailable"]},
            )
            calls = {"/shop.Cart/Add": "v2", "/shop.Cart/Get": "v1", "/a.B/Add": "v2", "/a.B/Get": "v1"}
            call: dict[str, Any] = {"method": "POST", "headers": {"content-type": "application/grpc"}}
            assert {path: await asked(mesh, path, **call) for path in calls} == calls
            for status, tries in ((14, 3), (5, 1)):  # unavailable, and not found
                mesh.grpc_statuses["web-v2"] = status
                before = mesh.hits["web-v2"]
                assert await asked(mesh, "/shop.Cart/Add", **call) == "v2"
                assert mesh.hits["web-v2"] - before == tries
            if name == "linkerd":
                of_grpc = "outbound_grpc_route_backend_response_statuses_total"

                def counted() -> None:
                    page = mesh.metrics["client"].exposition()
                    assert total(page, of_grpc, 'route_kind="GRPCRoute"', 'grpc_status="NOT_FOUND"') == 1

                await mesh.eventually(counted)

    asyncio.run(main())


def test_istio_answers_rewrites_mirrors_and_fails_by_rule(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop("istio", tmp_path) as mesh:
            await routed(
                mesh,
                {"matches": [{"path": {"exact": "/gone"}}], "respond": {"status": 410, "body": "gone"}},
                {
                    "matches": [{"path": {"prefix": "/api"}}],
                    **V2,
                    "rewrite": {"prefix": "/v2", "host": "inner"},
                },
                {"matches": [{"path": {"prefix": "/whole"}}], **V2, "rewrite": {"path": "/one"}},
                {
                    "matches": [{"path": {"prefix": "/copy"}}],
                    "split": {"v1": 100},
                    "mirror": {"version": "v2", "percent": 100},
                },
                {"matches": [{"path": {"prefix": "/slow"}}], **V2, "fault": {"delay_s": 0.3}},
                {"matches": [{"path": {"prefix": "/bad"}}], **V2, "fault": {"abort_status": 418}},
                {"matches": [{"headers": {"x-user": {"present": False}}, "method": "PUT"}], **V2},
                {"matches": [{"source_labels": {"app": "client"}, "method": "DELETE"}], **V2},
                {"matches": [{"source_labels": {"app": "other"}}], **V2},
            )
            assert await mesh.get("client", "http://web:8080/gone") == (410, "gone")
            assert await asked(mesh, "/api/users?x=1") == "v2"
            assert "GET /v2/users?x=1 HTTP/1.1\r\nhost: inner\r\n" in mesh.heads["web-v2"]
            await asked(mesh, "/whole/way")
            assert "GET /one HTTP/1.1" in mesh.heads["web-v2"]
            copies = mesh.hits["web-v2"]
            assert await asked(mesh, "/copy/x") == "v1"
            async with asyncio.timeout(30):
                while mesh.hits["web-v2"] == copies:  # noqa: ASYNC110 - a mirrored request has no event
                    await asyncio.sleep(0.05)
            began_s = time.monotonic()
            assert await asked(mesh, "/slow") == "v2"
            assert time.monotonic() - began_s > 0.28  # the clock of Envoy's timers is read once a turn
            assert await asked(mesh, "/bad") == "418"
            assert await asked(mesh, "/", method="PUT") == "v2"
            assert await asked(mesh, "/", method="PUT", headers={"x-user": "a"}) == "v1"
            assert await asked(mesh, "/", method="DELETE") == "v2"
            assert await asked(mesh, "/") == "v1"

    asyncio.run(main())
