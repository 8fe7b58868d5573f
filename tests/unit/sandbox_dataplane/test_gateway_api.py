"""Gateway API's routes on Services, as each mesh takes them, through real Envoys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.registry import Registry
from meshkit.sandbox.control_planes.route_status import merged
from tests.unit.sandbox_dataplane.linkerd_objects import to
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, service, shop


def run(mesh: str, directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop(mesh, directory) as made:
            await body(made)

    asyncio.run(main())


def route(called: str, *rules: dict[str, Any], created: str = "2026-01-01", **parent: Any) -> dict[str, Any]:
    meta = {"name": called, "namespace": "shop", "uid": called, "generation": 1, "creationTimestamp": created}
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
        told = sorted((problem.object["metadata"]["name"], problem.reason) for problem in problems)
        assert told == [("grpc", "OpaquePort"), ("http", "OpaquePort")]

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


def test_istio_takes_routes_on_services_with_its_own_defaults(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["services"] += [service(f"web-{v}", app="web", version=v) for v in ("v1", "v2")]
        rewrite = {"hostname": "elsewhere", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        mirror = {"backendRef": {"name": "web-v1", "port": 8080}, "percent": 100}
        filters = [
            {"type": "URLRewrite", "urlRewrite": rewrite},
            {"type": "RequestMirror", "requestMirror": mirror},
        ]
        item = route(
            "r",
            {"matches": [path("/api")], "filters": filters, "backendRefs": [to("web-v2")]},
            {"matches": [path("/gone")], "backendRefs": [{"name": "nobody", "port": 8080}]},
            {"matches": [path("/late")], "timeouts": {"request": "100ms"}, "backendRefs": [to("web-v1")]},
            {"matches": [path("/half")], "backendRefs": [to("web-v1", 1), to("web-v2", 0)]},
        )
        mesh.objects["httproutes"] = [item]
        await mesh.apply()
        assert await answer(mesh, "/api/x") == (200, "web-v2")
        await mesh.eventually(lambda: (mesh.hits["web-v2"], mesh.hits["web-v1"]) == (1, 1))
        assert (await answer(mesh, "/gone"))[0] == 500
        assert (await answer(mesh, "/other"))[0] == 404
        assert {await answer(mesh, "/half") for _ in range(5)} == {(200, "web-v1")}
        mesh.delay_s["web-v1"] = 30
        assert (await answer(mesh, "/late"))[0] == 504
        outbound = istio.outbound(mesh.registry(), Caller("shop"))
        routes = next(host.routes for host in outbound.hosts if host.service.startswith("web."))
        assert {found.retry.attempts for found in routes if found.retry} == {2}
        assert [problem.reason for problem in outbound.problems] == ["BackendNotFound"]

    run("istio", tmp_path, body)


def service_of(name: str, namespace: str = "shop", address: str = "10.96.0.1") -> dict[str, Any]:
    ports = [{"name": "http", "port": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": ports, "clusterIP": address},
    }


def istio_owner(caller: str, **objects: list[dict[str, Any]]) -> list[str]:
    """Whose routes a caller in a namespace takes to the Service web of shop."""
    held = {"services": [service_of("web")], **objects}
    hosts = istio.outbound(Registry(held), Caller(caller)).hosts
    return [found.owner for found in next(h.routes for h in hosts if h.service.startswith("web."))]


def test_istio_prefers_the_callers_own_routes_and_then_the_older_object() -> None:
    everything = {"backendRefs": [to("web")]}
    producer = route("producer", everything, created="2026-01-02")
    consumer = route("consumer", everything, created="2026-03-03", namespace="shop")
    consumer["metadata"]["namespace"] = "tests"
    spec = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]}
    meta = {"name": "vs", "namespace": "shop", "creationTimestamp": "2026-02-02"}
    virtual = {"metadata": meta, "spec": spec}
    assert istio_owner("shop", httproutes=[producer, consumer]) == ["shop/producer"]
    assert istio_owner("tests", httproutes=[producer, consumer]) == ["tests/consumer"]
    assert istio_owner("tests", httproutes=[producer], virtualservices=[virtual]) == ["shop/producer"]
    virtual["metadata"]["creationTimestamp"] = "2026-01-01"
    assert istio_owner("tests", httproutes=[producer], virtualservices=[virtual]) == ["shop/vs"]
    assert istio_owner("tests", httproutes=[consumer], virtualservices=[virtual]) == ["tests/consumer"]


def test_linkerd_takes_routes_of_both_sides_and_none_on_a_headless_service() -> None:
    def owners(caller: str, *services: dict[str, Any]) -> list[str]:
        held = {"services": list(services), "httproutes": [producer, consumer]}
        hosts = linkerd.outbound(Registry(held), caller).hosts
        return [found.owner for found in hosts[0].routes]

    everything = {"backendRefs": [to("web")]}
    producer = route("producer", everything, created="2026-01-01")
    consumer = route("consumer", everything, created="2026-02-02", namespace="shop")
    consumer["metadata"]["namespace"] = "tests"
    assert owners("shop", service_of("web")) == ["shop/producer"]
    assert owners("tests", service_of("web")) == ["shop/producer", "tests/consumer"]
    assert owners("shop", service_of("web", address="None")) == [""]


def told(statuses: Any) -> dict[str, list[tuple[str, bool, str]]]:
    return {
        status.item["metadata"]["name"]: [
            (condition.type, condition.holds, condition.reason)
            for parent in status.parents
            for condition in parent.conditions
        ]
        for status in statuses
    }


def test_each_mesh_tells_its_own_status() -> None:
    good = route("good", {"backendRefs": [to("web")]})
    held = {
        "services": [service_of("web"), service_of("bare", address="None")],
        "httproutes": [
            good,
            route("missing", {"backendRefs": [to("nobody")]}),
            route("orphan", {"backendRefs": [to("web")]}, name="nobody"),
            route("headless", {"backendRefs": [to("web")]}, name="bare"),
            route("strange", {"backendRefs": [{"kind": "Bucket", "name": "b"}]}),
            route("server", {}, group="policy.linkerd.io", kind="Server", name="s"),
            route("gateway", {}, group="gateway.networking.k8s.io", kind="Gateway"),
        ],
        "servers.policy": [{"metadata": {"name": "s", "namespace": "shop"}, "spec": {"port": 1}}],
    }
    fine, found = ("Accepted", True, "Accepted"), ("ResolvedRefs", True, "ResolvedRefs")
    parentless = ("Accepted", False, "NoMatchingParent")
    common = {
        "good": [fine, found],
        "missing": [fine, ("ResolvedRefs", False, "BackendNotFound")],
        "orphan": [parentless, found],
        "strange": [fine, ("ResolvedRefs", False, "InvalidKind")],
    }
    assert told(istio.statuses(Registry(held))) == {**common, "headless": [fine, found]}
    linkerds = {**common, "headless": [parentless, found], "server": [fine]}
    assert told(linkerd.statuses(Registry(held))) == linkerds
    held["grpcroutes"] = [route("grpc", {"backendRefs": [to("web")]})]
    conflict = ("Accepted", False, "RouteReasonConflicted")
    assert told(linkerd.statuses(Registry(held)))["good"] == [conflict, found]
    assert told(linkerd.statuses(Registry(held)))["grpc"] == [fine, found]


def test_istio_tells_a_filter_that_is_not_carried_out_in_the_status() -> None:
    extension = {"type": "ExtensionRef", "extensionRef": {"group": "g", "kind": "K", "name": "n"}}
    held = {
        "services": [service_of("web")],
        "httproutes": [route("r", {"filters": [extension], "backendRefs": [to("web")]})],
    }
    (status,) = istio.statuses(Registry(held))
    conditions = {each.type: each for each in status.parents[0].conditions}
    assert conditions["Accepted"].holds
    refs = conditions["ResolvedRefs"]
    assert (refs.holds, refs.reason, refs.message) == (
        False,
        "InvalidFilter",
        'unsupported filter type "ExtensionRef"',
    )


def test_a_status_keeps_what_others_wrote_and_the_time_of_what_has_not_changed() -> None:
    item = route("r", {"backendRefs": [to("web")]})
    (status,) = linkerd.statuses(Registry({"services": [service_of("web")], "httproutes": [item]}))
    others = [{"controllerName": "example.com/other", "parentRef": {"name": "web"}, "conditions": []}]
    first = merged(others, status, "then")
    assert first[0] == others[0]
    assert first[1]["controllerName"] == "linkerd.io/policy-controller"
    assert merged(first, status, "now") == first
    (status,) = linkerd.statuses(Registry({"services": [], "httproutes": [item]}))
    changed = merged(first, status, "now")[1]["conditions"][0]
    assert (changed["status"], changed["lastTransitionTime"]) == ("False", "now")


def test_istio_tells_of_the_route_that_another_takes_whole_in_its_own_namespace() -> None:
    older = route("older", {"backendRefs": [{"name": "web", "port": 8080}]})
    newer = route("newer", {"backendRefs": [{"name": "web", "port": 8080}]}, created="2026-02-02")
    away = route(
        "away", {"backendRefs": [{"name": "web", "port": 81, "namespace": "shop"}]}, namespace="shop"
    )
    away["metadata"] = {**away["metadata"], "namespace": "edge", "creationTimestamp": "2026-03-03"}
    held = {"services": [service_of("web")], "httproutes": [older, newer, away]}
    found = istio.route_problems(Registry(held))
    assert sorted((problem.object["metadata"]["name"], problem.reason) for problem in found) == [
        ("away", "BackendPortNotFound"),
        ("newer", "RouteShadowed"),
    ]
