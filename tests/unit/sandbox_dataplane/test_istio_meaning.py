"""What Istio's resources mean, without a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.outbound import Cluster, Outbound, Route
from meshkit.meshes.model.registry import Registry
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, to, virtual_service
from tests.unit.sandbox_dataplane.istio_pods import (
    POD,
)
from tests.unit.sandbox_dataplane.mini_mesh import service


def translate(namespace: str = "shop", **objects: list[dict[str, Any]]) -> Outbound:
    return istio.outbound(Registry({"services": [service()], "pods": [POD], **objects}), Caller(namespace))


def routes(outbound: Outbound) -> tuple[Route, ...]:
    return outbound.hosts[0].routes


def cluster(outbound: Outbound, subset: str = "") -> Cluster:
    return next(item for item in outbound.clusters if f"|{subset}|" in item.name)


def peer_authentication(mode: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    meta = {"name": f"{mode}-{len(spec)}", "namespace": namespace}
    return {"metadata": meta, "spec": {"mtls": {"mode": mode}, **spec}}


def test_without_a_virtual_service_two_retries_and_no_timeout() -> None:
    (route,) = routes(translate())
    assert route.retry
    assert route.retry.attempts == 2
    assert route.timeout_s is None
    assert [backend.cluster for backend in route.backends] == ["outbound|8080||web.shop.svc.cluster.local"]


def test_short_names_serve_only_callers_of_the_same_namespace() -> None:
    assert "web:8080" in translate("shop").hosts[0].domains
    assert "web:8080" not in translate("bar").hosts[0].domains
    assert "web.shop:8080" in translate("bar").hosts[0].domains


def test_the_oldest_virtual_service_of_a_host_wins_and_the_other_is_told() -> None:
    first, second = virtual_service({"route": [to("v1")]}), virtual_service({"route": [to("v2")]})
    first["metadata"] |= {"name": "z", "creationTimestamp": "2026-01-01T00:00:00Z"}
    second["metadata"] |= {"name": "a", "creationTimestamp": "2026-01-02T00:00:00Z"}
    outbound = translate(virtualservices=[second, first], destinationrules=[destination_rule()])
    assert routes(outbound)[0].owner == "shop/z"
    assert [(p.reason, p.object["metadata"]["name"]) for p in outbound.problems] == [("HostConflict", "a")]


def test_a_fault_leaves_retries_and_timeout_as_istiod_does() -> None:
    """Istio's pages say that a fault switches both off; istiod writes all three, and Envoy obeys them."""
    fault = {"abort": {"httpStatus": 500, "percentage": {"value": 10}}}
    item = virtual_service({"fault": fault, "timeout": "1s", "route": [to("v1")]})
    (route,) = routes(translate(virtualservices=[item], destinationrules=[destination_rule()]))
    assert (route.timeout_s, route.retry and route.retry.attempts) == (1.0, 2)


def test_a_subset_that_is_not_there_is_told() -> None:
    outbound = translate(virtualservices=[virtual_service({"route": [to("v9")]})])
    assert "there is no subset 'v9'" in outbound.problems[0].message


@pytest.mark.parametrize(
    ("http", "field"),
    [
        ({"route": [to("v1")], "newField": {}}, "newField"),
        ({"route": [to("v1")], "match": [{"newField": 1}]}, "match[0].newField"),
        (
            {"route": [to("v1")], "match": [{"headers": {"@request.auth.claims.group": {"exact": "x"}}}]},
            "match[0].headers[@request.auth.claims.group]",
        ),
        (
            {"route": [to("v1")], "fault": {"delay": {"exponentialDelay": "1s"}}},
            "fault.delay.exponentialDelay",
        ),
    ],
)
def test_what_is_not_carried_out_is_told(http: dict[str, Any], field: str) -> None:
    outbound = translate(virtualservices=[virtual_service(http)], destinationrules=[destination_rule()])
    assert f"spec.http[0].{field} is not supported" in outbound.problems[0].message


def test_a_match_that_cannot_be_judged_never_holds() -> None:
    item = virtual_service({"route": [to("v1")], "match": [{"newField": 1}]}, {"route": [to("v2")]})
    (route,) = routes(translate(virtualservices=[item], destinationrules=[destination_rule()]))
    assert route.backends[0].cluster == "outbound|8080|v2|web.shop.svc.cluster.local"


def test_subset_policy_overrides_block_by_block_and_a_port_replaces() -> None:
    rule = destination_rule(loadBalancer={"simple": "RANDOM"}, outlierDetection={"consecutive5xxErrors": 3})
    rule["spec"]["subsets"][0]["trafficPolicy"] = {"loadBalancer": {"simple": "ROUND_ROBIN"}}
    pool = {"tcp": {"maxConnections": 7}}
    rule["spec"]["subsets"][1]["trafficPolicy"] = {
        "portLevelSettings": [{"port": {"number": 8080}, "connectionPool": pool}]
    }
    outbound = translate(destinationrules=[rule])
    v1, v2 = cluster(outbound, "v1"), cluster(outbound, "v2")
    assert (v1.balancing.policy, v1.outlier and v1.outlier.consecutive_5xx) == ("ROUND_ROBIN", 3)
    assert (v2.balancing.policy, v2.outlier, v2.limits.max_connections) == ("LEAST_REQUEST", None, 7)


def test_consistent_hash_needs_the_header_on_the_route() -> None:
    rule = destination_rule(loadBalancer={"consistentHash": {"httpHeaderName": "x-user"}})
    item = virtual_service({"route": [to("v1")]})
    outbound = translate(destinationrules=[rule], virtualservices=[item])
    assert cluster(outbound, "v1").balancing.policy == "RING_HASH"
    assert routes(outbound)[0].hash_keys[0].name == "x-user"


@pytest.mark.parametrize(
    ("policies", "mode"),
    [
        ([], "permissive"),
        ([peer_authentication("STRICT", "istio-system")], "strict"),
        ([peer_authentication("STRICT", "istio-system"), peer_authentication("DISABLE")], "plaintext"),
        (
            [
                peer_authentication("STRICT"),
                peer_authentication("UNSET", selector={"matchLabels": {"app": "web"}}),
            ],
            "strict",
        ),
        (
            [
                peer_authentication("STRICT"),
                peer_authentication("PERMISSIVE", selector={"matchLabels": {"app": "web"}}),
            ],
            "permissive",
        ),
        (
            [peer_authentication("STRICT", "istio-system", selector={"matchLabels": {"app": "web"}})],
            "permissive",
        ),
        (
            [
                peer_authentication(
                    "STRICT",
                    selector={"matchLabels": {"app": "web"}},
                    portLevelMtls={"8080": {"mode": "DISABLE"}, "9090": {"mode": "PERMISSIVE"}},
                )
            ],
            "plaintext",
        ),
    ],
)
def test_peer_authentication_scopes(policies: list[dict[str, Any]], mode: str) -> None:
    (inbound,) = istio.inbound(Registry({"peerauthentications": policies}), POD)
    assert (inbound.port, inbound.mode) == (8080, mode)


@pytest.mark.parametrize(
    ("policies", "tls", "expected"),
    [
        ([], None, "auto"),
        ([peer_authentication("DISABLE")], None, "never"),
        ([], {"mode": "DISABLE"}, "never"),
        ([], {"mode": "ISTIO_MUTUAL"}, "always"),
    ],
)
def test_automatic_mutual_tls(
    policies: list[dict[str, Any]], tls: dict[str, str] | None, expected: str
) -> None:
    rule = destination_rule(**({"tls": tls} if tls else {}))
    outbound = translate(peerauthentications=policies, destinationrules=[rule])
    assert cluster(outbound).tls == expected
    assert cluster(outbound).identities == ("spiffe://cluster.local/ns/shop/sa/web",)


def test_a_caller_speaks_plain_text_to_a_workload_without_mutual_tls() -> None:
    """Also where its namespace is STRICT: istiod tells callers each endpoint's own mode."""
    meta = {"name": "web", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}
    endpoint = {"addresses": ["127.1.0.1"], "targetRef": {"name": POD["metadata"]["name"]}}
    ready = {"metadata": meta, "ports": [{"name": "http", "port": 8080}], "endpoints": [endpoint]}
    labels = {**POD["metadata"]["labels"], "security.istio.io/tlsMode": "istio"}
    pod = {**POD, "metadata": {**POD["metadata"], "labels": labels}}

    def meshed(*policies: dict[str, Any]) -> list[bool]:
        world = {"pods": [pod], "endpointslices": [ready]}
        found = cluster(translate(peerauthentications=list(policies), **world))
        assert found.tls == "auto"
        return [endpoint.meshed for endpoint in found.endpoints]

    strict, web = peer_authentication("STRICT"), {"selector": {"matchLabels": {"app": "web"}}}
    assert meshed() == meshed(strict) == [True]
    assert meshed(strict, peer_authentication("DISABLE", **web)) == [False]
    ports = {"8080": {"mode": "DISABLE"}}
    assert meshed(strict, peer_authentication("STRICT", portLevelMtls=ports, **web)) == [False]


def test_excluded_ports_are_not_captured() -> None:
    meta = {**POD["metadata"], "annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}}
    assert istio.inbound(Registry({}), {**POD, "metadata": meta}) == ()
