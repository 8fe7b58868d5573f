"""Istio's routes through a real Envoy: what reaches the application, and what the caller is answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.chance import usual
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, run, to, virtual_service
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh
from tests.unit.sandbox_dataplane.requests import (
    ask,
)


async def given(mesh: MiniMesh, *http: dict[str, Any], **policy: Any) -> None:
    mesh.objects["destinationrules"] = [destination_rule(**policy)]
    mesh.objects["virtualservices"] = [virtual_service(*http)]
    await mesh.apply()


def at(prefix: str, **rest: Any) -> dict[str, Any]:
    """A route for paths with this prefix, to v1 unless it says otherwise."""
    ends = {"redirect", "directResponse"} & set(rest)
    return {"match": [{"uri": {"prefix": prefix}}], **({} if ends else {"route": [to("v1")]}), **rest}


def test_rewrites_reach_the_application(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        regex = {"match": "/users/(\\d+)/(.*)", "rewrite": "/\\2/of/\\1"}
        await given(
            mesh,
            at("/old/", rewrite={"uri": "/new/", "authority": "inner.example"}),
            at("/users/", rewrite={"uriRegexRewrite": regex}),
            at("/host", headers={"request": {"set": {"Host": "set.example"}}}),
        )
        await ask(mesh, "/old/a?b=c")
        assert mesh.heads["web-v1"].startswith("GET /new/a?b=c HTTP/1.1\r\nhost: inner.example\r\n")
        await ask(mesh, "/users/7/name")
        assert mesh.heads["web-v1"].startswith("GET /name/of/7 ")
        await ask(mesh, "/host")
        assert "host: set.example\r\n" in mesh.heads["web-v1"]

    run(tmp_path, body)


def test_redirects_and_direct_answers_never_reach_the_application(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await given(
            mesh,
            at("/r1", redirect={"uri": "/there", "authority": "other.example", "redirectCode": 308}),
            at("/r2", redirect={"scheme": "https", "port": 8443}),
            at("/r3", redirect={"derivePort": "FROM_REQUEST_PORT", "authority": "o.example"}),
            at("/teapot", directResponse={"status": 418, "body": {"string": "short and stout"}}),
            at("/bytes", directResponse={"status": 200, "body": {"bytes": "aGk="}}),
        )
        found = {path: await ask(mesh, path) for path in ("/r1", "/r2", "/r3", "/teapot", "/bytes")}
        assert {path: answer[0] for path, answer in found.items()} == {
            "/r1": 308,
            "/r2": 301,
            "/r3": 301,
            "/teapot": 418,
            "/bytes": 200,
        }
        assert found["/r1"][1]["location"] == "http://other.example/there"
        assert found["/r2"][1]["location"] == "https://web:8443/r2"
        assert found["/r3"][1]["location"] == "http://o.example:8080/r3"
        assert (found["/teapot"][2], found["/bytes"][2]) == ("short and stout", "hi")
        assert mesh.hits["web-v1"] + mesh.hits["web-v2"] == 0

    run(tmp_path, body)


def test_mirrors_get_copies_whose_answers_nobody_sees(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mirrored = {"destination": {"host": "web", "subset": "v2"}}
        await given(
            mesh,
            at("/all", mirror=mirrored["destination"]),
            at("/half", mirrors=[{**mirrored, "percentage": {"value": 50}}]),
            at("/none", mirror=mirrored["destination"], mirrorPercentage={"value": 0}),
        )
        mesh.answers["web-v2"] = 500
        for path, n, copies in (("/all", 20, [20]), ("/none", 20, [0]), ("/half", 200, usual(0.5, 200))):
            before = mesh.hits["web-v2"]
            for _ in range(n):
                assert (await ask(mesh, path))[::2] == (200, "web-v1")
            await asyncio.sleep(0.2)
            await mesh.eventually(lambda: mesh.hits["web-v2"] - before in copies)  # noqa: B023 (awaited here)

    run(tmp_path, body)


def test_headers_are_edited_for_a_route_and_for_each_destination(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        general = {
            "request": {"set": {"x-a": "route"}, "add": {"x-b": "more"}, "remove": ["x-secret"]},
            "response": {"set": {"x-served": "yes"}},
        }
        mine = {"request": {"add": {"x-to": "v2"}}, "response": {"add": {"x-from": "v2"}}}
        split = [
            {**to("v1", 0), "headers": {"request": {"set": {"x-to": "v1"}}}},
            {**to("v2", 100), "headers": mine},
        ]
        await given(mesh, at("/one", headers=general), {"route": split, "headers": general})
        sent = {"x-a": "caller", "x-b": "caller", "x-secret": "s"}
        _, headers, _ = await ask(mesh, "/one", headers=sent)
        seen = mesh.heads["web-v1"]
        assert "x-a: route\r\n" in seen
        assert "x-b: caller" in seen
        assert "more" in seen
        assert "x-secret" not in seen
        assert headers["x-served"] == "yes"
        _, headers, text = await ask(mesh, "/two", headers=sent)
        assert (text, headers["x-from"], headers["x-served"]) == ("web-v2", "v2", "yes")
        assert "x-to: v2\r\n" in mesh.heads["web-v2"]

    run(tmp_path, body)


def test_conditions_are_judged_as_istio_does(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        def when(**match: Any) -> dict[str, Any]:
            return {"match": [match], "route": [to("v2")]}

        await given(
            mesh,
            when(uri={"exact": "/Case"}, ignoreUriCase=True),
            when(queryParams={"user": {"regex": "j.*"}}),
            when(uri={"prefix": "/without"}, withoutHeaders={"x-beta": {"exact": "no"}}),
            when(authority={"prefix": "web.shop."}),
            when(uri={"prefix": "/scheme"}, scheme={"exact": "http"}),
            when(uri={"prefix": "/present"}, headers={"x-any": {}}),
            when(uri={"prefix": "/port"}, port=9999),
            when(uri={"prefix": "/me"}, sourceLabels={"app": "client"}, sourceNamespace="shop"),
            when(uri={"prefix": "/them"}, sourceLabels={"app": "other"}),
            when(uri={"prefix": "/edge"}, gateways=["edge"]),
            {"route": [to("v1")]},
        )
        expected = {
            "/cAsE": "v2",
            "/?user=jason": "v2",
            "/?user=mary": "v1",
            "/without": "v2",
            "/scheme": "v2",
            "/present": "v1",
            "/port": "v1",
            "/me": "v2",
            "/them": "v1",
            "/edge": "v1",
        }
        assert {path: (await ask(mesh, path))[2][4:] for path in expected} == expected
        assert (await ask(mesh, "/without", headers={"x-beta": "no"}))[2] == "web-v1"
        assert (await ask(mesh, "/present", headers={"x-any": "1"}))[2] == "web-v2"
        assert (await ask(mesh, host="web.shop.svc.cluster.local:8080"))[2] == "web-v2"

    run(tmp_path, body)


def test_cors_is_answered_by_the_proxy(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        policy = {
            "allowOrigins": [{"exact": "http://good.example"}],
            "allowMethods": ["GET"],
            "allowHeaders": ["x-user"],
            "maxAge": "24h",
        }
        await given(mesh, at("/", corsPolicy=policy))
        asked = {"origin": "http://good.example", "access-control-request-method": "GET"}
        status, headers, _ = await ask(mesh, method="OPTIONS", headers=asked)
        assert (status, headers["access-control-allow-origin"]) == (200, "http://good.example")
        assert headers["access-control-max-age"] == "86400"
        assert mesh.hits["web-v1"] == 0
        _, headers, _ = await ask(mesh, headers={"origin": "http://bad.example"})
        assert "access-control-allow-origin" not in headers

    run(tmp_path, body)


def test_hosts_that_nobody_registered(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await mesh.pod("plain", meshed=False, app="plain")
        address = mesh.address("plain")
        assert (await ask(mesh, host=f"{address}:8080"))[::2] == (200, "plain")
        status, _, text = await ask(mesh, host="example.com")
        assert (status, "no request leaves 127.0.0.0/8" in text) == (503, True)
        assert (await ask(mesh, host="10.0.0.1:80"))[0] == 503
        assert (await ask(mesh, host=f"{mesh.address('client')}:15001"))[0] == 502
        mesh.objects["configmaps"] = [mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")]
        await mesh.apply()
        assert (await ask(mesh, host=f"{address}:8080"))[0] == 502
        assert (await ask(mesh, host="example.com"))[0] == 502
        assert (await ask(mesh))[0] == 200

    run(tmp_path, body)


def mesh_config(text: str) -> dict[str, Any]:
    return {"metadata": {"name": "istio", "namespace": "istio-system", "uid": "cm"}, "data": {"mesh": text}}


def test_service_entries_bring_hosts_and_endpoints(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await mesh.pod("plain", meshed=False, app="plain")
        endpoints = [{"address": mesh.address("plain")}, {"address": "10.1.2.3"}]
        mesh.objects["serviceentries"] = [
            service_entry("static.example", endpoints=endpoints, resolution="STATIC"),
            service_entry(
                "*.inner.example",
                resolution="STATIC",
                location="MESH_INTERNAL",
                workloadSelector={"labels": {"app": "web"}},
            ),
            service_entry(mesh.address("plain"), resolution="NONE"),
            service_entry("named.example", resolution="DNS"),
        ]
        mesh.objects["configmaps"] = [mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")]
        for pod in mesh.objects["pods"]:
            pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        await mesh.apply()
        assert (await ask(mesh, host="static.example:8080"))[::2] == (200, "plain")
        assert (await ask(mesh, host="any.inner.example:8080"))[2] in ("web-v1", "web-v2")
        assert (await ask(mesh, host=f"{mesh.address('plain')}:8080"))[2] == "plain"
        assert (await ask(mesh, host="named.example:8080"))[0] == 503
        assert (await ask(mesh, host="unknown.example:8080"))[0] == 502

    run(tmp_path, body)


def service_entry(host: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": host.strip("*."), "namespace": "shop", "uid": f"se-{host}", "generation": 1}
    ports = [{"name": "http", "number": 8080, "protocol": "HTTP"}]
    return {"kind": "ServiceEntry", "metadata": meta, "spec": {"hosts": [host], "ports": ports, **spec}}


def test_hosts_that_only_a_virtual_service_names_hold_on_port_80(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        there = {"destination": {"host": "web", "port": {"number": 8080}}}
        item = virtual_service({"route": [there]})
        item["spec"]["hosts"] = ["www.example.com", "*.wild.example"]
        mesh.objects["virtualservices"] = [item]
        await mesh.apply()
        for host in ("www.example.com", "www.example.com:80", "a.wild.example"):
            assert (await ask(mesh, host=host))[0] == 200
        assert (await ask(mesh, host="www.example.com:8080"))[0] == 503

    run(tmp_path, body)
