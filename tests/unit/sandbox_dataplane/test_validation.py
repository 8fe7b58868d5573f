"""Envoy's own reasons, without a running Envoy."""

from __future__ import annotations

import asyncio

import pytest

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.registry import Registry
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE
from meshkit.sandbox.dataplane import validation
from meshkit.sandbox.dataplane.delivery import Desired
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, to, virtual_service
from tests.unit.sandbox_dataplane.mini_mesh import service


def refusal(*http: dict[str, object]) -> str | None:
    objects = {
        "services": [service()],
        "destinationrules": [destination_rule()],
        "virtualservices": [virtual_service(*http)],
    }
    desired = Desired(istio.outbound(Registry(objects), Caller("shop")), (Inbound(8080, "strict"),))
    return asyncio.run(validation.refusal(desired, DATA_PLANE.style))


def test_a_good_configuration_is_taken() -> None:
    assert refusal({"route": [to("v1", 90), to("v2", 10)]}) is None


@pytest.mark.parametrize(
    ("http", "reason"),
    [
        ({"match": [{"uri": {"regex": "(("}}], "route": [to("v1")]}, "missing )"),
        ({"route": [to("v1", 0), to("v2", 0)]}, "weights"),
    ],
)
def test_a_refusal_names_its_reason(http: dict[str, object], reason: str) -> None:
    found = refusal(http)
    assert found is not None
    assert reason in found
    assert "candidate.json" not in found


EVERYTHING = {
    "corsPolicy": {"allowOrigins": [{"regex": "http://.*"}, {"prefix": "https://a"}], "maxAge": "1h"},
    "fault": {
        "delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}},
        "abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 1}},
    },
    "headers": {
        "request": {"set": {"host": "x", "a": "b"}, "remove": ["c"]},
        "response": {"add": {"d": "e"}},
    },
    "mirrors": [{"destination": {"host": "web"}, "percentage": {"value": 12.5}}],
    "rewrite": {"uriRegexRewrite": {"match": "/(.*)", "rewrite": "/x/\\1"}},
    "retries": {
        "attempts": 3,
        "retryOn": "5xx,429,reset",
        "perTryTimeout": "2s",
        "backoff": "10ms",
        "retryRemoteLocalities": True,
    },
    "timeout": "10s",
}
POLICY = {
    "connectionPool": {
        "tcp": {
            "maxConnections": 1,
            "connectTimeout": "1s",
            "idleTimeout": "1m",
            "maxConnectionDuration": "1h",
            "tcpKeepalive": {"probes": 3, "time": "7200s", "interval": "75s"},
        },
        "http": {
            "http1MaxPendingRequests": 1,
            "http2MaxRequests": 1,
            "maxRetries": 1,
            "maxRequestsPerConnection": 1,
            "maxConcurrentStreams": 1,
            "idleTimeout": "1s",
            "h2UpgradePolicy": "UPGRADE",
            "http2KeepAlive": {"interval": "30s", "timeout": "5s"},
        },
    },
    "outlierDetection": {
        "consecutive5xxErrors": 0,
        "consecutiveGatewayErrors": 2,
        "splitExternalLocalOriginErrors": True,
        "consecutiveLocalOriginFailures": 3,
        "minHealthPercent": 30,
        "maxEjectionPercent": 100,
    },
    "retryBudget": {"percent": 30, "minRetryConcurrency": 5},
    "tls": {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["spiffe://cluster.local/ns/shop/sa/web"]},
}
BALANCERS: tuple[dict[str, object], ...] = (
    {"simple": "ROUND_ROBIN", "warmup": {"duration": "30s", "minimumPercent": 5, "aggression": 2}},
    {"simple": "LEAST_REQUEST", "warmupDurationSecs": "10s"},
    {"simple": "RANDOM"},
    {"consistentHash": {"httpHeaderName": "x", "ringHash": {"minimumRingSize": 64}}},
    {"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 5}}},
    {
        "consistentHash": {
            "httpCookie": {
                "name": "c",
                "path": "/",
                "ttl": "0s",
                "attributes": [{"name": "SameSite", "value": "Lax"}],
            }
        }
    },
)


def test_envoy_takes_every_field_that_is_carried_out() -> None:
    """All fields of a route and of a policy in one configuration, with a host for each balancer."""
    services = [service(f"web-{number}") for number in range(len(BALANCERS))]
    rules, routes = [], []
    for number, balancer in enumerate(BALANCERS):
        rule = destination_rule(**POLICY, loadBalancer=balancer)
        rule["metadata"]["name"] = rule["spec"]["host"] = f"web-{number}"
        rules.append(rule)
        there = {"destination": {"host": f"web-{number}", "subset": "v1"}, "headers": EVERYTHING["headers"]}
        item = virtual_service(
            {**EVERYTHING, "route": [{**there, "weight": 1}, {**there, "weight": 2}]},
        )
        item["metadata"]["name"] = f"web-{number}"
        item["spec"]["hosts"] = [f"web-{number}", f"{number}.example.com", f"*.{number}.example.com"]
        routes.append(item)
    objects = {"services": services, "destinationrules": rules, "virtualservices": routes}
    outbound = istio.outbound(Registry(objects), Caller("shop"))
    assert {problem.reason for problem in outbound.problems} == {"UnknownHost", "UnknownDestination"}
    assert asyncio.run(validation.refusal(Desired(outbound, ()), DATA_PLANE.style)) is None
