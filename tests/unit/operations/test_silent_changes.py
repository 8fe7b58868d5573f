"""Every part of a route or a policy that changes requests is told: no plan changes one silently."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster.executor import PlannedStep
from meshkit.kube.steps import Step
from meshkit.operations.effects import effects_of
from tests.unit.meshes.meshed import virtual_service
from tests.unit.operations.explained import ISTIO, WORKLOADS, Api, cluster, objects

ROUTE: dict[str, Any] = {"route": [{"destination": {"host": "web"}}]}
ORIGINS = [{"exact": "https://a.example"}]
CORS: dict[str, Any] = {"allowOrigins": ORIGINS}
ZONES = {"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "a"}


def told(before: dict[str, Any], after: dict[str, Any], *more: dict[str, Any]) -> list[str]:
    """The effects of writing an object anew in the shop of one Service."""
    held = [*objects("istio", WORKLOADS, ISTIO), *more]
    kept = [each for each in held if each["kind"] not in ("VirtualService", "DestinationRule")]
    step = PlannedStep(Step(after), "change", after=after)
    return effects_of([step], cluster(Api([*kept, before]), "istio"), "istio").lines


def rule(host: str = "web", **policy: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"host": host, "trafficPolicy": policy},
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"corsPolicy": CORS, **ROUTE}, {**ROUTE, "corsPolicy": {**CORS, "allowMethods": ["PUT"]}}),
        ({"corsPolicy": CORS, **ROUTE}, {**ROUTE, "corsPolicy": {**CORS, "allowHeaders": ["x-token"]}}),
        ({"corsPolicy": CORS, **ROUTE}, {**ROUTE, "corsPolicy": {**CORS, "exposeHeaders": ["x-token"]}}),
        ({"corsPolicy": CORS, **ROUTE}, {**ROUTE, "corsPolicy": {**CORS, "maxAge": "60s"}}),
        ({"corsPolicy": CORS, **ROUTE}, {**ROUTE, "corsPolicy": {**CORS, "allowCredentials": True}}),
        ({"corsPolicy": CORS, **ROUTE}, {**ROUTE, "corsPolicy": {**CORS, "unmatchedPreflights": "IGNORE"}}),
        (
            {"directResponse": {"status": 200, "body": {"string": "on"}}},
            {"directResponse": {"status": 200, "body": {"string": "off"}}},
        ),
        (
            {"directResponse": {"status": 200, "body": {"string": f"{'x' * 200}1"}}},
            {"directResponse": {"status": 200, "body": {"string": f"{'x' * 200}2"}}},
        ),
        (
            {**ROUTE, "retries": {"attempts": 2, "retryOn": "5xx"}},
            {**ROUTE, "retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1s"}},
        ),
        (
            {**ROUTE, "retries": {"attempts": 2, "retryOn": "5xx"}},
            {**ROUTE, "retries": {"attempts": 2, "retryOn": "5xx", "retryRemoteLocalities": True}},
        ),
        (
            {**ROUTE, "retries": {"attempts": 2, "retryOn": "5xx"}},
            {**ROUTE, "retries": {"attempts": 2, "retryOn": "5xx", "retryIgnorePreviousHosts": False}},
        ),
        (ROUTE, {"route": [{**ROUTE["route"][0], "headers": {"request": {"set": {"x-a": "b"}}}}]}),
        (ROUTE, {"route": [{**ROUTE["route"][0], "headers": {"response": {"remove": ["x-a"]}}}]}),
        (
            {"redirect": {"authority": "a.example", "uri": "/x"}},
            {"redirect": {"authority": "a.example", "uri": "/y"}},
        ),
        (
            {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 10}}}, **ROUTE},
            {"fault": {"abort": {"httpStatus": 503, "percentage": {"value": 10.001}}}, **ROUTE},
        ),
        ({**ROUTE, "timeout": "100s"}, {**ROUTE, "timeout": "100.01s"}),
        ({**ROUTE, "rewrite": {"authority": "a"}}, {**ROUTE, "rewrite": {"authority": "b"}}),
    ],
)
def test_a_part_of_a_route_is_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    (line,) = told(virtual_service("web", "web", [before]), virtual_service("web", "web", [after]))
    assert line.startswith("changes: ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"consistentHash": {"httpCookie": {"name": "s", "ttl": "60s"}}},
            {"consistentHash": {"httpCookie": {"name": "s", "ttl": "90s"}}},
        ),
        (
            {"consistentHash": {"httpCookie": {"name": "s", "ttl": "60s"}}},
            {"consistentHash": {"httpCookie": {"name": "s", "ttl": "60s", "path": "/x"}}},
        ),
        ({"consistentHash": {"useSourceIp": True}}, {"consistentHash": {"httpHeaderName": "a"}}),
        (
            {"consistentHash": {"httpHeaderName": "a"}},
            {"consistentHash": {"httpHeaderName": "a", "maglev": {}}},
        ),
        ({"simple": "ROUND_ROBIN"}, {"simple": "ROUND_ROBIN", "warmup": {"duration": "9s"}}),
    ],
)
def test_a_part_of_load_balancing_is_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    lines = told(rule(loadBalancer=before), rule(loadBalancer=after))
    assert all(line.startswith("changes: ") for line in lines)


def test_where_requests_go_first_is_told() -> None:
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": zone, "labels": {**ZONES, "topology.kubernetes.io/zone": zone}},
        }
        for zone in ("a", "b")
    ]
    held = objects("istio", WORKLOADS, ISTIO)
    placed = {"client": "a", "web-0": "a", "web-1": "b"}
    for pod in held:
        if pod["kind"] == "Pod":
            pod["spec"]["nodeName"] = placed.get(pod["metadata"]["name"], "a")
    near = rule(outlierDetection={"consecutive5xxErrors": 5})
    anywhere = rule(
        outlierDetection={"consecutive5xxErrors": 5}, loadBalancer={"localityLbSetting": {"enabled": False}}
    )
    kept = [each for each in held if each["kind"] not in ("VirtualService", "DestinationRule")]
    step = PlannedStep(Step(near), "change", after=near)
    found = effects_of([step], cluster(Api([*kept, *nodes, anywhere]), "istio"), "istio")
    assert any("endpoints in eu/a (1) first, then in eu/b (1)" in line for line in found.lines)


@pytest.mark.parametrize(
    "tls",
    [
        {"mode": "SIMPLE", "sni": "a.example", "caCertificates": "/etc/ca.pem"},
        {"mode": "SIMPLE", "sni": "a.example", "subjectAltNames": ["b.example"]},
        {"mode": "SIMPLE", "sni": "a.example", "insecureSkipVerify": True},
        {
            "mode": "MUTUAL",
            "sni": "a.example",
            "clientCertificate": "/etc/tls.crt",
            "privateKey": "/etc/tls.key",
        },
    ],
)
def test_a_part_of_tls_is_told(tls: dict[str, Any]) -> None:
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {
            "hosts": ["a.example"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "127.0.0.9"}],
        },
    }
    before = rule("a.example", tls={"mode": "SIMPLE", "sni": "a.example"})
    (line,) = told(before, rule("a.example", tls=tls), entry)
    assert line.startswith("changes: ")
