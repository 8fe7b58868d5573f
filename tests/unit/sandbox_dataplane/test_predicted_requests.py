"""Envoy answers each request as the model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.model.requests import Request, Sender, decide, domains_of, route_of, sent, virtual_host_of
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, run, to, virtual_service
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh

_MATCHES: tuple[dict[str, Any], ...] = (
    {"uri": {"exact": "/exact"}},
    {"uri": {"prefix": "/prefix"}},
    {"uri": {"regex": "/a+b"}},
    {"uri": {"exact": "/Case"}, "ignoreUriCase": True},
    {"uri": {"prefix": "/not"}, "withoutHeaders": {"x-user": {"exact": "jason"}}},
    {"uri": {"prefix": "/none"}, "withoutHeaders": {"x-user": {}}},
    {"headers": {"x-user": {"exact": "jason"}}, "uri": {"prefix": "/who"}},
    {"headers": {"x-user": {}}, "uri": {"prefix": "/there"}},
    {"queryParams": {"v": {"exact": "2"}}, "uri": {"prefix": "/query"}},
    {"method": {"exact": "PUT"}, "uri": {"prefix": "/put"}},
    {"authority": {"exact": "web.shop:8080"}, "uri": {"prefix": "/host"}},
)
_JASON = (("x-user", "jason"),)
_REQUESTS = (
    *(Request("web", 8080, path=path) for path in ("/exact", "/exact/x", "/prefixed", "/aab", "/aabx")),
    *(Request("web", 8080, path=path) for path in ("/cASE", "/not", "/none", "/who", "/there", "/query")),
    *(Request("web", 8080, path=path, headers=_JASON) for path in ("/not", "/none", "/who", "/there")),
    Request("web", 8080, path="/query", query=(("v", "2"), ("v", "3"))),
    Request("web", 8080, path="/query", query=(("v", "3"), ("v", "2"))),
    *(Request("web", 8080, method=method, path="/put") for method in ("PUT", "GET")),
    *(Request(host, 8080, path="/host") for host in ("web", "web.shop")),
    Request("web", 8080, path="/secret"),
    Request("web", 8080, path="/old/secret"),
    Request("web"),
    Request("web", 9090),
)


def test_each_request_is_answered_as_the_model_says(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        mesh.objects["destinationrules"] = [destination_rule()]
        old = {"match": [{"uri": {"prefix": "/old"}}], "rewrite": {"uri": "/"}, "route": [to("v1")]}
        mesh.objects["virtualservices"] = [
            virtual_service({"match": list(_MATCHES), "route": [to("v2")]}, old, {"route": [to("v1")]})
        ]
        denied = {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/secret", "//secret"]}}]}]}
        mesh.objects["authorizationpolicies"] = [
            {"metadata": {"name": "no", "namespace": "shop", "uid": "no"}, "spec": denied}
        ]
        await mesh.apply()
        for request in _REQUESTS:
            query = "&".join(f"{name}={value}" for name, value in request.query)
            url = f"http://{request.authority}{request.path}{'?' if query else ''}{query}"
            answer = await mesh.get("client", url, dict(request.headers), request.method)
            assert answer in predicted(mesh, request), request

    run(tmp_path, body)


def predicted(mesh: MiniMesh, request: Request) -> list[tuple[int, str]]:
    """The possible answers to the client's request, by the model."""
    registry = mesh.registry()
    pods = {pod["metadata"]["name"]: pod for pod in mesh.objects["pods"]}
    out = istio.outbound(registry, istio.caller_of(registry, pods["client"]))
    host = virtual_host_of(domains_of(out.hosts), request)
    assert host is not None
    taken = route_of(host, request)
    assert taken is not None
    if taken.route.direct:
        return [(taken.route.direct.status, taken.route.direct.body)]
    clusters = {cluster.name: cluster for cluster in out.clusters}
    found = []
    for backend in taken.route.backends:
        for endpoint in clusters[backend.cluster or ""].endpoints:
            name = next(n for n in pods if mesh.address(n) == endpoint.address)
            inbound = next(i for i in istio.inbound(registry, pods[name]) if i.port == endpoint.port)
            verdict = decide(inbound, sent(request, taken), Sender(None))
            found.append((200, name) if verdict.allowed else (403, "RBAC: access denied"))
    return found
