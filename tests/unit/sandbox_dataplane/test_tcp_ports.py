"""TCP ports as Envoy carries them: whole connections, from the caller's proxy to the server's application."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import meshkit as mk
from meshkit.facts import Snapshot
from meshkit.meshes import registry
from meshkit.meshes.model.inbound import Authorization, Condition, Inbound, InboundRoute, Policy, Rule
from meshkit.meshes.model.outbound import Backend, Match, Route, StringMatch, VirtualHost
from meshkit.sandbox.control_planes.registry import DATA_PLANES
from meshkit.sandbox.dataplane.render.listeners import listeners_of
from meshkit.sandbox.dataplane.render.routes import route_table
from tests.unit.sandbox_dataplane.istio_objects import total, virtual_service
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop

REQUEST = b"GET /as/written HTTP/1.1\r\nx-mine: 1\r\n\r\n"
REFUSED = b""
Object = dict[str, Any]


def inbound(mode: str, authorization: Authorization | None = None) -> list[Object]:
    routes = (InboundRoute(authorization=authorization or Authorization()),)
    model = Inbound(8080, mode, routes, protocol="tcp")  # type: ignore[arg-type]
    return list(
        listeners_of([model], Path("/pod"), "127.0.0.1", DATA_PLANES["istio"].style)[1]["filter_chains"]
    )


def names(filters: Iterable[Object]) -> list[str]:
    return [each["name"].removeprefix("envoy.filters.network.") for each in filters]


@pytest.mark.parametrize(
    ("mode", "chains"),
    [("plaintext", ["raw"]), ("permissive", ["tls", "raw"]), ("strict", ["tls"])],
)
def test_a_tcp_port_has_the_modes_of_mutual_tls_and_no_http(mode: str, chains: list[str]) -> None:
    rendered = inbound(mode)
    assert [chain["name"] for chain in rendered] == chains
    assert ["transport_socket" in chain for chain in rendered] == [name == "tls" for name in chains]
    for chain in rendered:
        assert names(chain["filters"]) == ["tcp_proxy"]
        assert chain["filters"][0]["typed_config"]["cluster"] == "inbound|8080||"


@pytest.mark.parametrize(("mesh", "limit"), [("istio", "0s"), ("linkerd", "10s")])
def test_a_proxy_waits_for_the_first_bytes_as_long_as_the_proxy_of_its_mesh(mesh: str, limit: str) -> None:
    """TLS whose first bytes come late, as on a busy machine, is not taken for plain text."""
    (_, listener) = listeners_of([Inbound(80, "permissive")], Path("/pod"), "::", DATA_PLANES[mesh].style)
    assert listener["listener_filters_timeout"] == limit


def test_without_mutual_tls_a_tcp_port_takes_tls_of_the_application() -> None:
    (raw,) = inbound("plaintext")
    assert not raw.get("filter_chain_match")


def test_the_authorization_of_a_tcp_port_is_of_connections() -> None:
    client = Condition("identity", (StringMatch("exact", "spiffe://x"),))
    deny, allow = Policy("shop/no"), Policy("shop/yes", (Rule(((client,),)),))
    (chain,) = inbound("strict", Authorization((deny,), (allow,)))
    assert names(chain["filters"]) == ["rbac", "rbac", "tcp_proxy"]
    rules = [each["typed_config"]["rules"] for each in chain["filters"][:2]]
    assert [each["action"] for each in rules] == ["DENY", "ALLOW"]
    assert rules[0]["policies"] == {
        "shop/no#0": {"permissions": [{"any": True}], "principals": [{"any": True}]}
    }
    assert "spiffe://x" in str(rules[1]["policies"]["shop/yes#0"]["principals"])


def test_an_outbound_tcp_port_takes_connections_and_requests_without_any_rule_of_http() -> None:
    route = Route("default", (Match(),), (Backend("one", 1),))
    host = VirtualHost("db.shop.svc.cluster.local", 9090, ("db:9090",), (route,), "tcp")
    (table,) = route_table([host])
    tunnel, request = table["virtual_hosts"][0]["routes"]
    assert tunnel["match"] == {"connect_matcher": {}}
    assert tunnel["route"]["upgrade_configs"] == [{"upgrade_type": "CONNECT", "connect_config": {}}]
    assert request["match"] == {"prefix": "/"}
    for each in (tunnel, request):
        assert (each["route"]["cluster"], each["route"]["timeout"]) == ("one", "0s")
        assert "retry_policy" not in each["route"]


def run(mesh: str, directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop(mesh, directory) as made:
            ports = made.objects["services"][0]["spec"]["ports"]
            ports[0]["appProtocol"] = "tcp" if mesh == "istio" else "linkerd.io/opaque"
            await made.apply()
            await body(made)

    asyncio.run(main())


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What comes back for REQUEST; empty where the connection is closed instead."""
    with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        return head.split()[1] + b" " + await reader.readexactly(6)
    return REFUSED


async def tunnelled(mesh: MiniMesh, caller: str) -> bytes:
    """REQUEST by CONNECT through a caller's proxy."""
    reader, writer = await asyncio.open_connection(mesh.address(caller), 15001)
    writer.write(b"CONNECT web:8080 HTTP/1.1\r\nhost: web:8080\r\n\r\n")
    with contextlib.suppress(asyncio.IncompleteReadError):
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"200"
    return await answer(reader, writer)


async def plaintext(mesh: MiniMesh, pod: str = "web-v1") -> bytes:
    return await answer(*await asyncio.open_connection(mesh.address(pod), 8080))


def istio_policy(action: str, *rules: Object) -> Object:
    meta = {"name": action.lower(), "namespace": "shop", "uid": action, "generation": 1}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "action": action, "rules": list(rules)}
    return {"metadata": meta, "spec": spec}


def test_istio_carries_the_bytes_of_a_tcp_port_and_refuses_whole_connections(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        fault = {"abort": {"httpStatus": 500, "percentage": {"value": 100}}}
        mesh.objects["virtualservices"] = [
            virtual_service({"fault": fault, "route": [{"destination": {"host": "web"}}]})
        ]
        await mesh.apply()
        assert (await tunnelled(mesh, "client"))[:7] == b"200 web"
        assert REQUEST.decode() in mesh.heads.values()
        assert (await mesh.get("client"))[0] == 200
        assert (await plaintext(mesh)) == b"200 web-v1"

        async def judged(*policies: Object) -> list[bytes]:
            mesh.objects["authorizationpolicies"] = list(policies)
            await mesh.apply()
            answers = [
                await tunnelled(mesh, "client"),
                await tunnelled(mesh, "web-v1"),
                await plaintext(mesh),
            ]
            return [each[:3] for each in answers]

        by_path = {"to": [{"operation": {"paths": ["/internal/*"]}}]}
        by_caller = {"from": [{"source": {"serviceAccounts": ["shop/client"]}}]}
        assert await judged(istio_policy("DENY", by_path)) == [REFUSED] * 3
        assert await judged(istio_policy("DENY", {**by_path, **by_caller})) == [REFUSED, b"200", b"200"]
        assert await judged(istio_policy("ALLOW", by_caller)) == [b"200", REFUSED, REFUSED]
        assert await judged(istio_policy("ALLOW", {**by_path, **by_caller})) == [REFUSED] * 3
        assert (await mesh.get("client"))[0] == 503
        mesh.objects["peerauthentications"] = [
            {"metadata": {"name": "p", "namespace": "shop", "uid": "p"}, "spec": {"mtls": {"mode": "STRICT"}}}
        ]
        assert await judged() == [b"200", b"200", REFUSED]
        inside = 'reporter="destination"', 'source_principal="spiffe://cluster.local/ns/shop/sa/client"'

        def counted() -> None:
            pages = {name: made.exposition() for name, made in mesh.metrics.items()}
            assert not any(total(page, "istio_requests_total") for page in pages.values())
            for family in ("istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total"):
                assert sum(total(pages[pod], family, *inside) for pod in ("web-v1", "web-v2")) >= 3

        await mesh.eventually(counted)

    run("istio", tmp_path, body)


def test_istio_splits_the_connections_of_a_tcp_port(tmp_path: Path) -> None:
    """As a Route with protocol tcp is planned; connections to a caller that no rule names go to any pod."""

    async def body(mesh: MiniMesh) -> None:
        held = [{"apiVersion": "v1", "kind": "Service", **each} for each in mesh.objects["services"]]
        resources = {"VirtualService": "virtualservices", "DestinationRule": "destinationrules"}

        async def answered(v1: float, caller: str = "client") -> set[bytes]:
            place = {
                "namespace": "shop",
                "service": "web",
                "port": 8080,
                "versions": [{"name": "v1"}, {"name": "v2"}],
            }
            asked = mk.Route(**place, protocol="tcp", split={"v1": v1, "v2": 100 - v1})
            for step in registry.mesh("istio").planner.plan(asked, Snapshot(tuple(held))):
                meta = {"uid": step.object["kind"], "generation": 1, **step.object["metadata"]}
                mesh.objects[resources[step.object["kind"]]] = [{**step.object, "metadata": meta}]
            await mesh.apply()
            return {await tunnelled(mesh, caller) for _ in range(25)}

        assert await answered(100) == {b"200 web-v1"}
        assert await answered(0) == {b"200 web-v2"}
        assert await answered(50) == {b"200 web-v1", b"200 web-v2"}
        rule = mesh.objects["virtualservices"][0]["spec"]["tcp"][0]
        rule["match"][0]["sourceLabels"] = {"app": "web"}
        rule["route"] = rule["route"][:1]
        await mesh.apply()
        assert {await tunnelled(mesh, "client") for _ in range(25)} == {b"200 web-v1", b"200 web-v2"}
        assert {await tunnelled(mesh, "web-v2") for _ in range(10)} == {b"200 web-v1"}

    run("istio", tmp_path, body)


def test_an_opaque_server_of_linkerd_judges_connections_by_identity(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        meta = {"name": "web", "namespace": "shop", "uid": "srv", "generation": 1}
        spec = {"podSelector": {"matchLabels": {"app": "web"}}, "port": 8080, "proxyProtocol": "opaque"}
        target = {"group": "policy.linkerd.io", "kind": "Server", "name": "web"}
        refs = [{"kind": "ServiceAccount", "name": "client"}]
        mesh.objects["servers.policy"] = [{"metadata": meta, "spec": spec}]
        mesh.objects["authorizationpolicies.policy"] = [
            {"metadata": meta, "spec": {"targetRef": target, "requiredAuthenticationRefs": refs}}
        ]
        await mesh.apply()
        assert (await tunnelled(mesh, "client"))[:3] == b"200"
        assert await tunnelled(mesh, "web-v1") == await plaintext(mesh) == REFUSED

        def counted() -> None:
            web = "\n".join(mesh.metrics[name].exposition() for name in ("web-v1", "web-v2"))
            assert total(web, "request_total", 'direction="inbound"') == 0
            assert total(web, "inbound_tcp_authz_allow_total", 'srv_name="web"', 'client_id="client.') == 1
            assert total(web, "inbound_tcp_authz_deny_total", 'srv_name="web"', 'client_id="web.') == 1
            assert total(web, "inbound_tcp_authz_deny_total", 'tls="no_identity"') == 1

        await mesh.eventually(counted)

    run("linkerd", tmp_path, body)


def test_an_https_port_of_a_service_entry_carries_tls_of_the_application(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        number = await mesh.tls_server(tmp_path)
        ports = [{"name": "https", "number": 443, "protocol": "HTTPS", "targetPort": number}]
        spec = {"hosts": ["tls.example"], "ports": ports, "resolution": "STATIC", "location": "MESH_EXTERNAL"}
        entry = {"metadata": {"name": "outside", "namespace": "shop", "uid": "se"}, "spec": spec}
        mesh.objects["serviceentries"] = [
            {**entry, "spec": {**spec, "endpoints": [{"address": "127.0.0.1"}]}}
        ]
        await mesh.apply()
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        proxy = f"http://{mesh.address('client')}:15001"
        async with mesh.session.get("https://tls.example/", proxy=proxy, ssl=trusted) as answer:
            assert (answer.status, await answer.text()) == (200, "anonymous")

    run("istio", tmp_path, body)
