"""What Linkerd's webhooks refuse, and that they take all that meshkit writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from meshkit.meshes.linkerd.meaning.admission import refusal
from meshkit.sandbox.control_planes.linkerd.validator import application

UNIT = Path(__file__).parents[1]
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


@pytest.mark.parametrize(("item", "field"), REFUSED)
def test_what_linkerd_could_not_read_is_refused(item: dict[str, Any], field: str) -> None:
    assert field in refusal(item)


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


@pytest.mark.parametrize("item", TAKEN)
def test_what_linkerd_reads_is_taken(item: dict[str, Any]) -> None:
    assert refusal(item) == ""


def test_a_gatewayss_route_may_have_annotations_that_linkerd_cannot_read() -> None:
    item = route(retry__limit="many")
    item["spec"]["parentRefs"] = [{"name": "gateway"}]
    assert refusal(item) == ""


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        (server("b"), True),
        (server("a"), False),
        (server("b", port=9090), False),
        (server("b", port="http"), False),
        (server("b", podSelector={}), True),
        (server("b", podSelector={"matchLabels": {"app": "stock"}}), False),
    ],
)
def test_a_second_server_of_a_port_is_refused(other: dict[str, Any], refused: bool) -> None:
    assert ("already selects port 8080" in refusal(server(), [other])) == refused


@pytest.mark.parametrize(
    "path", sorted(UNIT.glob("meshes/golden/linkerd-*.yaml")), ids=lambda path: path.stem
)
def test_linkerds_webhooks_take_what_meshkit_writes(path: Path) -> None:
    for step in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert refusal(step["object"]) == ""


def test_the_webhook_answers_with_the_reason() -> None:
    async def body() -> None:
        async with TestClient(TestServer(application(None))) as client:  # type: ignore[arg-type]
            for item, allowed in ((policy(SERVER, MESH_TLS), True), (policy({"kind": "Pod"}), False)):
                asked = {"request": {"uid": "u", "namespace": "shop", "object": item}}
                answer = (await (await client.post("/", json=asked)).json())["response"]
                assert (answer["uid"], answer["allowed"]) == ("u", allowed)
                assert allowed or "cannot target Pod" in answer["status"]["message"]

    asyncio.run(body())
