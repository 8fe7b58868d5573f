"""Istio's AuthorizationPolicies and Linkerd's Servers, enforced by real Envoys.

One shop for each test, and one change of policy after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from meshkit.meshes.istio.meaning import authorization as istio_authorization
from meshkit.meshes.linkerd.meaning import authorization as linkerd_authorization
from meshkit.meshes.linkerd.meaning import policy_problems
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.outbound import Match, StringMatch
from meshkit.meshes.model.registry import Registry
from tests.unit.sandbox_dataplane.callers import CLIENT, PLAIN, WEB, only_v2, status
from tests.unit.sandbox_dataplane.istio_objects import total
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop


def run(mesh: str, directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop(mesh, directory) as made:
            await body(made)

    asyncio.run(main())


async def judged(mesh: MiniMesh, *requests: tuple[Any, ...]) -> list[int]:
    """Apply, and what requests get then. A connection that stands from before has one more answer."""
    await mesh.apply()
    for caller in (CLIENT, WEB):
        await status(mesh, caller)
    return [await status(mesh, *request) for request in requests]


def policy(
    *rules: dict[str, Any], action: str = "ALLOW", namespace: str = "shop", name: str = "p", **spec: Any
) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": name, "generation": 1}
    return {"metadata": meta, "spec": {"action": action, "rules": list(rules), **spec}}


def by(**source: Any) -> dict[str, Any]:
    return {"from": [{"source": source}]}


def to(**operation: Any) -> dict[str, Any]:
    return {"to": [{"operation": operation}]}


EVERYONE = ((CLIENT,), (WEB,), (PLAIN,))


def test_istio_judges_callers(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        only_v2(mesh)

        async def who(*policies: dict[str, Any]) -> list[int]:
            mesh.objects["authorizationpolicies"] = list(policies)
            return await judged(mesh, *EVERYONE)

        assert await who() == [200, 200, 200]
        assert await who(policy()) == [403, 403, 403]
        assert await who(policy({})) == [200, 200, 200]
        assert await who(policy(action="DENY")) == [200, 200, 200]
        assert await who(policy(by(serviceAccounts=["shop/client"]))) == [200, 403, 403]
        assert await who(policy(by(principals=["cluster.local/ns/shop/sa/web"]))) == [403, 200, 403]
        assert await who(policy(by(principals=["*/sa/web"]))) == [403, 200, 403]
        assert await who(policy(by(principals=["*"]))) == [200, 200, 403]
        assert await who(policy(by(namespaces=["sh*"]))) == [200, 200, 403]
        assert await who(policy(by(namespaces=["other"]))) == [403, 403, 403]
        assert await who(policy(by(ipBlocks=["127.0.0.0/8"], notPrincipals=["*"]))) == [403, 403, 200]
        no_web = policy(by(serviceAccounts=["web"]), action="DENY", name="no-web")
        assert await who(policy({}), no_web) == [200, 403, 200]
        assert await who(policy(by(notPrincipals=["*"]), action="DENY")) == [200, 200, 403]
        everywhere = policy(by(serviceAccounts=["shop/client"]), namespace="istio-system")
        assert await who(everywhere) == [200, 403, 403]
        assert await who(policy(selector={"matchLabels": {"version": "v1"}})) == [200, 200, 200]
        dry = policy()
        dry["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
        beside = [dry, policy(action="CUSTOM", name="ext"), policy(by(requestPrincipals=["*"]), name="jwt")]
        assert await who(*beside) == [403, 403, 403]
        reasons = [problem.message for problem in istio_authorization.problems(mesh.registry())]
        assert [reason.split(":")[0] for reason in reasons] == ["action CUSTOM", "requestPrincipals"]

    run("istio", tmp_path, body)


def test_istio_judges_requests_and_counts_the_refused(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        only_v2(mesh)

        async def asked(rule: dict[str, Any], *requests: tuple[Any, ...]) -> list[int]:
            mesh.objects["authorizationpolicies"] = [policy(rule)]
            return await judged(mesh, *((CLIENT, *request) for request in requests))

        paths = ("/a",), ("/a/b",), ("/a/b/c?x=1",), ("/b",)
        assert await asked(to(paths=["/a"]), *paths) == [200, 403, 403, 403]
        assert await asked(to(paths=["/a/*", "*b"]), *paths) == [403, 200, 200, 200]
        assert await asked(to(paths=["/a/{*}"]), *paths) == [403, 200, 403, 403]
        assert await asked(to(paths=["/a/{**}"]), *paths) == [403, 200, 200, 403]
        assert await asked(to(notPaths=["/a"]), *paths) == [403, 200, 200, 200]
        assert await asked(to(methods=["POST"], paths=["/a"]), ("/a",), ("/a", "POST")) == [403, 200]
        assert await asked(to(ports=["8080"], hosts=["TWO:*"]), ("/",)) == [200]
        assert await asked(to(notPorts=["8080"]), ("/",)) == [403]
        header = {"when": [{"key": "request.headers[x-user]", "values": ["jason"]}]}
        mesh.objects["authorizationpolicies"] = [policy(header)]
        assert await judged(mesh, (CLIENT,)) == [403]
        assert await status(mesh, CLIENT, **{"x-user": "jason"}) == 200
        assert await status(mesh, PLAIN) == 403
        async with mesh.session.get(f"http://{mesh._ips['web-v2']}:8080/") as answer:
            assert await answer.text() == "RBAC: access denied"
        denied = 'reporter="destination"', 'response_code="403"'
        plain = 'security_policy="none"', 'source_workload="unknown"'

        def counted() -> None:
            page = mesh.metrics["web-v2"].exposition()
            assert total(page, "istio_requests_total", *denied, 'security_policy="mutual_tls"') > 5
            assert total(page, "istio_requests_total", *denied, *plain) == 2

        await mesh.eventually(counted)

    run("istio", tmp_path, body)


def test_istio_counts_what_a_policy_on_trial_would_refuse_and_refuses_nobody(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        only_v2(mesh)
        dry = policy(by(serviceAccounts=["shop/client"]))
        dry["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
        mesh.objects["authorizationpolicies"] = [dry]
        await mesh.apply()
        asked = [await status(mesh, *each) for each in (*EVERYONE, *EVERYONE, *EVERYONE)]
        assert asked == [200] * 9
        name, allow = "envoy_http_inbound_0_0_0_0_8080_rbac", 'authz_dry_run_action="allow"'

        def counted() -> None:
            page = mesh.metrics["web-v2"].exposition()
            assert total(page, name, allow, 'result="denied"') >= 5  # a connection from before has one more
            assert total(page, name, allow, 'result="allowed"') >= 2
            assert total(page, name, "authz_enforce_result") == 0

        await mesh.eventually(counted)

    run("istio", tmp_path, body)


def server(**spec: Any) -> dict[str, Any]:
    meta = {"name": "two", "namespace": "shop", "uid": "srv", "generation": 1}
    return {
        "metadata": meta,
        "spec": {"podSelector": {"matchLabels": {"version": "v2"}}, "port": 8080, **spec},
    }


def allowing(kind: str, name: str, *refs: str, group: str = "policy.linkerd.io") -> dict[str, Any]:
    listed = [{"kind": ref.partition("/")[0], "name": ref.partition("/")[2]} for ref in refs]
    spec = {"targetRef": {"group": group, "kind": kind, "name": name}, "requiredAuthenticationRefs": listed}
    own = f"{name}-{refs[0].partition('/')[2]}"
    return {"metadata": {"name": own, "namespace": "shop", "uid": own}, "spec": spec}


def authentication(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def test_linkerd_judges_callers(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        only_v2(mesh)
        pod = mesh._pod("web-v2")

        async def default(name: str) -> list[int]:
            pod["metadata"]["annotations"][linkerd_authorization.INBOUND_POLICY] = name
            return await judged(mesh, *EVERYONE)

        assert await default("all-unauthenticated") == [200, 200, 200]
        assert await default("all-authenticated") == [200, 200, 403]
        assert await default("cluster-authenticated") == [200, 200, 403]
        assert await default("deny") == [403, 403, 403]
        assert await default("audit") == [200, 200, 200]
        mesh.objects["meshtlsauthentications.policy"] = [
            authentication("client", identityRefs=[{"kind": "ServiceAccount", "name": "client"}]),
            authentication("shop", identityRefs=[{"kind": "Namespace", "name": "shop"}]),
            authentication("web", identities=["web.shop.serviceaccount.identity.linkerd.cluster.local"]),
            authentication("any", identities=["*"]),
        ]
        nowhere = {"cidr": "127.0.0.0/8", "except": ["127.0.0.0/8"]}
        mesh.objects["networkauthentications.policy"] = [
            authentication("local", networks=[{"cidr": "127.0.0.0/8"}]),
            authentication("nowhere", networks=[nowhere]),
        ]

        async def who(*policies: dict[str, Any], **spec: Any) -> list[int]:
            mesh.objects["servers.policy"] = [server(**spec)]
            mesh.objects["authorizationpolicies.policy"] = list(policies)
            return await judged(mesh, *EVERYONE)

        assert await who() == [403, 403, 403]
        assert await who(accessPolicy="all-authenticated") == [200, 200, 403]
        assert await who(port=9999) == [200, 200, 200]
        client = allowing("Server", "two", "MeshTLSAuthentication/client")
        assert await who(client) == [200, 403, 403]
        assert await who(client, allowing("Server", "two", "ServiceAccount/web")) == [200, 200, 403]
        assert await who(allowing("Namespace", "shop", "MeshTLSAuthentication/web")) == [403, 200, 403]
        assert await who(allowing("Server", "two", "MeshTLSAuthentication/shop")) == [200, 200, 403]
        assert await who(allowing("Server", "two", "NetworkAuthentication/local")) == [200, 200, 200]
        both = "MeshTLSAuthentication/client", "NetworkAuthentication/nowhere"
        assert await who(allowing("Server", "two", *both)) == [403, 403, 403]
        assert await who(allowing("Server", "two", "MeshTLSAuthentication/gone")) == [403, 403, 403]
        reasons = [problem.reason for problem in policy_problems.problems(mesh.registry())]
        assert reasons == ["PolicyIgnored"]

    run("linkerd", tmp_path, body)


def test_linkerd_judges_routes_and_counts_both(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        only_v2(mesh)
        parent = {"group": "policy.linkerd.io", "kind": "Server", "name": "two"}

        def route(name: str, *matches: dict[str, Any]) -> dict[str, Any]:
            spec = {"parentRefs": [parent], "rules": [{"matches": list(matches)}]}
            return {"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec}

        mesh.objects["servers.policy"] = [server()]
        mesh.objects["httproutes"] = [
            route("api", {"path": {"type": "PathPrefix", "value": "/api"}, "method": "GET"}),
            route("health", {"path": {"type": "Exact", "value": "/health"}}),
        ]
        mesh.objects["meshtlsauthentications.policy"] = [
            authentication("client", identityRefs=[{"kind": "ServiceAccount", "name": "client"}])
        ]
        mesh.objects["networkauthentications.policy"] = [
            authentication("all", networks=[{"cidr": "0.0.0.0/0"}])
        ]
        group = "gateway.networking.k8s.io"
        mesh.objects["authorizationpolicies.policy"] = [
            allowing("HTTPRoute", "api", "MeshTLSAuthentication/client", group=group),
            allowing("HTTPRoute", "health", "NetworkAuthentication/all", group=group),
        ]
        requests = [(CLIENT, "/api/x"), (WEB, "/api/x"), (PLAIN, "/health"), (CLIENT, "/other")]
        assert await judged(mesh, *requests) == [200, 403, 200, 404]
        assert await status(mesh, CLIENT, "/api", "POST") == 404
        at = 'srv_kind="server",srv_name="two",srv_port="8080"', 'route_kind="HTTPRoute",route_name="api"'
        client, web = (
            f'client_id="{name}.shop.serviceaccount.identity.linkerd.cluster.local"'
            for name in ("client", "web")
        )
        allowed = 'authz_kind="authorizationpolicy",authz_name="api-client"'
        plain = 'tls="no_identity",no_tls_reason="no_tls_from_remote"'

        def counted() -> None:
            page = mesh.metrics["web-v2"].exposition()
            assert total(page, "inbound_http_authz_allow_total", *at, allowed, client) == 1
            assert total(page, "inbound_http_authz_deny_total", *at, web) == 1
            assert total(page, "inbound_http_authz_allow_total", 'authz_name="health-all"', plain) == 1
            assert total(page, "inbound_http_route_not_found_total", client) >= 2
            assert total(page, "request_total", 'direction="inbound"', web, *at) == 0
            assert total(page, "response_total", 'direction="inbound"', plain, 'route_name="health"') == 1

        await mesh.eventually(counted)

    run("linkerd", tmp_path, body)


def test_linkerd_leaves_probes_alone_until_a_server_has_routes(tmp_path: Path) -> None:
    pod = {
        "metadata": {"name": "web", "namespace": "shop", "labels": {"version": "v2"}},
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "ports": [{"containerPort": 8080, "name": "http"}],
                    "livenessProbe": {"httpGet": {"path": "/live?full", "port": "http"}},
                },
                {"name": "linkerd-proxy"},
            ]
        },
    }
    (inbound,) = linkerd.inbound(Registry({"servers.policy": [server()]}), pod)
    assert [(route.name, len(route.authorization.allow or ())) for route in inbound.routes] == [
        ("/default/probe", 1),
        ("/default/default", 0),
    ]
    assert inbound.routes[0].match == Match(StringMatch("exact", "/live"), StringMatch("exact", "GET"))
