"""Objects that Linkerd's webhooks refuse, each with the field that they name, and such that they take."""

from __future__ import annotations

from typing import Any

POLICY, GATEWAY = "policy.linkerd.io", "gateway.networking.k8s.io"
MESH_TLS = {"group": POLICY, "kind": "MeshTLSAuthentication", "name": "a"}
NETWORK = {"group": POLICY, "kind": "NetworkAuthentication", "name": "a"}
ACCOUNT = {"kind": "ServiceAccount", "name": "a"}
SERVER = {"group": POLICY, "kind": "Server", "name": "web-8080"}


def made(kind: str, api: str = f"{POLICY}/v1alpha1", name: str = "a", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def server(name: str = "a", **spec: Any) -> dict[str, Any]:
    selector = {"podSelector": {"matchLabels": {"app": "web"}}, "port": 8080}
    return made("Server", f"{POLICY}/v1beta3", name, **{**selector, **spec})


def policy(target: dict[str, str], *references: dict[str, str]) -> dict[str, Any]:
    return made("AuthorizationPolicy", targetRef=target, requiredAuthenticationRefs=list(references))


def networks(*entries: dict[str, Any]) -> dict[str, Any]:
    return made("NetworkAuthentication", networks=list(entries))


def route(*rules: dict[str, Any], api: str = f"{GATEWAY}/v1", kind: str = "HTTPRoute", **notes: str) -> Any:
    parent = {"group": "core", "kind": "Service", "name": "web", "port": 8080}
    item = made(kind, api, parentRefs=[parent], rules=list(rules))
    item["metadata"]["annotations"] = {
        key.replace("__", ".linkerd.io/"): value for key, value in notes.items()
    }
    return item


def path(value: str, kind: str) -> dict[str, Any]:
    return {"matches": [{"path": {"type": kind, "value": value}}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (server(proxyProtocol="http"), "spec.proxyProtocol"),
    (server(accessPolicy="open"), "spec.accessPolicy"),
    (policy({"group": "", "kind": "Pod", "name": "web"}, MESH_TLS), "spec.targetRef"),
    (policy({"group": "core", "kind": "Service", "name": "web"}, MESH_TLS), "spec.targetRef"),
    (policy({"kind": "Namespace", "name": "other"}, MESH_TLS), "spec.targetRef"),
    (policy(SERVER, {"kind": "User", "name": "a"}), "spec.requiredAuthenticationRefs"),
    (policy(SERVER, MESH_TLS, MESH_TLS), "spec.requiredAuthenticationRefs"),
    (policy(SERVER, MESH_TLS, ACCOUNT), "spec.requiredAuthenticationRefs"),
    (policy(SERVER, NETWORK, NETWORK), "spec.requiredAuthenticationRefs"),
    (made("MeshTLSAuthentication", identities=["a..b"]), "spec.identities[0]"),
    (made("MeshTLSAuthentication", identities=["*", "a.*.b"]), "spec.identities[1]"),
    (made("MeshTLSAuthentication", identityRefs=[{"kind": "Pod", "name": "a"}]), "spec.identityRefs[0]"),
    (
        made("MeshTLSAuthentication", identityRefs=[{"kind": "Namespace", "name": "a", "namespace": "b"}]),
        "spec.identityRefs[0]",
    ),
    (networks(), "spec.networks"),
    (networks({"cidr": "10.0.0.0/33"}), "spec.networks[0].cidr"),
    (networks({"cidr": "nonsense"}), "spec.networks[0].cidr"),
    (networks({"cidr": "10.0.0.0/8", "except": ["x"]}), "spec.networks[0].except[0]"),
    (networks({"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}), "spec.networks[0].except[0]"),
    (networks({"cidr": "10.1.0.0/16", "except": ["10.0.0.0/8"]}), "spec.networks[0].except[0]"),
    (networks({"cidr": "10.0.0.0/8", "except": ["::/0"]}), "spec.networks[0].except[0]"),
    (route(retry__limit="many"), "retry.linkerd.io/limit"),
    (route(retry__http="teapot"), "retry.linkerd.io/http"),
    (route(timeout__request="1m30s"), "timeout.linkerd.io/request"),
    (route(kind="GRPCRoute", retry__grpc="ok"), "retry.linkerd.io/grpc"),
    (route(path("a", "Exact")), "spec.rules[0].matches[0].path.value"),
    (route(path("((", "RegularExpression")), "spec.rules[0].matches[0].path.value"),
    (route(path("/(?!admin)", "RegularExpression")), "spec.rules[0].matches[0].path.value"),
    (route({"backendRefs": [{"name": "web"}]}), "spec.rules[0].backendRefs[0]"),
    (
        route({"timeouts": {"request": "1s", "backendRequest": "2s"}}, api=f"{POLICY}/v1beta3"),
        "spec.rules[0].timeouts.backendRequest",
    ),
    (
        route({"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["a b"]}}]}),
        "spec.rules[0].filters[0].requestHeaderModifier",
    ),
    (
        made(
            "ServiceProfile",
            "linkerd.io/v1alpha2",
            routes=[{"name": "a", "condition": {"pathRegex": "(("}}],
        ),
        "spec.routes[0].condition.pathRegex",
    ),
    (
        made("ServiceProfile", "linkerd.io/v1alpha2", routes=[{"name": "a", "condition": {"not": {}}}, {}]),
        "spec.routes[1].condition",
    ),
    (  # Its definition has a list there, and Linkerd reads one condition.
        made(
            *("ServiceProfile", "linkerd.io/v1alpha2"),
            routes=[{"name": "a", "condition": {"not": [{"method": "GET"}]}}],
        ),
        "spec.routes[0].condition.not",
    ),
]
"""What the webhooks refuse, and the field that they name."""

TAKEN: list[dict[str, Any]] = [
    server(proxyProtocol="HTTP/1", accessPolicy="audit"),
    server(port="http"),
    policy({"kind": "Namespace", "name": "shop"}, NETWORK, ACCOUNT),
    policy({"group": GATEWAY, "kind": "GRPCRoute", "name": "a"}, MESH_TLS, NETWORK),
    policy(SERVER),
    made("MeshTLSAuthentication", identities=["*", "*.shop.serviceaccount.identity.linkerd.cluster.local"]),
    made("MeshTLSAuthentication", identityRefs=[ACCOUNT, {"kind": "Namespace", "name": "a"}]),
    networks({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}, {"cidr": "::/0"}, {"cidr": "10.2.3.4"}),
    route(path("/a.*", "RegularExpression"), retry__http="5xx,429,500-504", timeout__idle="1d"),
    route({"timeouts": {"request": "1m30s"}}, api=f"{POLICY}/v1beta3"),
    route({"timeouts": {"request": "1m30s"}}),
    made("ServiceProfile", "linkerd.io/v1alpha2", opaquePorts=["25"]),
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {}},
]
