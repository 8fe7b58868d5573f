"""The warnings of istiod's validation webhook, in its answers to AdmissionReviews."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from meshkit.sandbox.control_planes.api_client import ApiClient
from meshkit.sandbox.control_planes.istio.injector import inject
from meshkit.sandbox.control_planes.istio.validation import warnings_of
from meshkit.sandbox.control_planes.webhook import InjectionWebhook


class Api:
    """Holds validating webhook configurations and records their updates."""

    def __init__(self) -> None:
        self.updated: list[Any] = []

    async def update(self, resource: str, item: Any) -> Any:
        self.updated.append(item)
        return item


def webhook(api: Api | None = None) -> InjectionWebhook:
    return InjectionWebhook(
        cast(ApiClient, api or Api()),
        inject=inject,
        version="1.31.4",
        revision="default",
        service="istiod",
        namespace="istio-system",
        warnings=warnings_of,
    )


def answer(kind: str, spec: str, path: str = "/validate") -> dict[str, Any]:
    item = {"kind": kind, "metadata": {"name": "it"}, "spec": yaml.safe_load(spec)}
    review = {"request": {"uid": "1", "namespace": "shop", "object": item}}

    async def asked() -> dict[str, Any]:
        async with TestClient(TestServer(webhook().application())) as client:
            response = await client.post(path, json=review)
            found: dict[str, Any] = (await response.json())["response"]
            return found

    return asyncio.run(asked())


ROUTE = "route: [{destination: {host: web}}]"
LABELS = "workload selector specified without labels"
FOR_ALL = f"{LABELS}, will be applied to all services in namespace"
TCP = (
    "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of "
    "only HTTP attributes in a DENY rule; it is recommended to explicitly specify the port"
)


@pytest.mark.parametrize(
    ("kind", "spec", "warnings"),
    [
        ("VirtualService", f"{{hosts: [web], http: [{{{ROUTE}}}]}}", []),
        (
            "VirtualService",
            f"{{hosts: [web], http: [{{{ROUTE}, mirror: {{host: web}}, mirrorPercent: 5}}]}}",
            ['using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'],
        ),
        (
            "VirtualService",
            f"{{hosts: [web], gateways: [edge.shop.svc.cluster.local], http: [{{{ROUTE}}}]}}",
            [
                'using legacy gatewayName format "edge.shop.svc.cluster.local"; prefer the <namespace>/<name>'
                ' format: "shop/edge"'
            ],
        ),
        (
            "VirtualService",
            f"{{hosts: [web], http: [{{name: all, {ROUTE}}}, {{{ROUTE}}}]}}",
            ["virtualService rule #1 not used (only the last rule can have no matches)"],
        ),
        (
            "VirtualService",
            f"{{hosts: [web], http: [{{{ROUTE}}}, {{name: beta, match: [{{port: 80}}], {ROUTE}}}]}}",
            ['virtualService rule "beta" not used (route without matches defined before)'],
        ),
        (
            "VirtualService",
            f"{{hosts: [web], http: [{{match: [{{port: 80}}], {ROUTE}}},"
            f" {{match: [{{name: b, port: 80}}], {ROUTE}}}]}}",
            [
                'virtualService rule #1 match "b" is not used (duplicate/overlapping match in rule #0)',
                "virtualService rule #1 not used (all matches used by prior rules)",
            ],
        ),
        (
            "DestinationRule",
            "{host: web, trafficPolicy: {outlierDetection: {consecutiveErrors: 3}}}",
            [
                "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or "
                "consecutive5xxErrors instead"
            ],
        ),
        (
            "DestinationRule",
            "{host: web, trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}}",
            ["outlier detection policy must be provided for failover"],
        ),
        (
            "DestinationRule",
            "{host: web, trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}},"
            " outlierDetection: {}}}",
            [],
        ),
        (
            "DestinationRule",
            "{host: web, trafficPolicy: {portLevelSettings: [{port: {number: 80}, outlierDetection: "
            "{consecutiveErrors: 2}}]}}",
            [],
        ),
        (
            "Gateway",
            "{servers: [{port: {number: 443, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH,"
            " credentialName: c, httpsRedirect: true}}]}",
            [
                "PASSTHROUGH mode does not use certificates, they will be ignored",
                "tls.httpsRedirect should only be used with http servers",
            ],
        ),
        ("Sidecar", "{workloadSelector: {}, egress: [{hosts: ['./*']}]}", [f"sidecar: {FOR_ALL}"]),
        ("AuthorizationPolicy", "{selector: {matchLabels: {}}}", [LABELS]),
        ("AuthorizationPolicy", "{}", []),
        (
            "AuthorizationPolicy",
            "{action: DENY, rules: [{to: [{operation: {paths: [/internal/*]}}]}]}",
            [TCP],
        ),
        (
            "AuthorizationPolicy",
            "{action: DENY, rules: [{from: [{source: {requestPrincipals: ['*']}}]},"
            " {from: [{source: {namespaces: [a]}}], to: [{operation: {methods: [GET]}}]}]}",
            [TCP, TCP],
        ),
        (
            "AuthorizationPolicy",
            "{action: DENY, rules: [{from: [{source: {namespaces: [a]}}]}, {},"
            " {to: [{operation: {paths: [/a]}}, {operation: {ports: ['80']}}]},"
            " {when: [{key: 'request.headers[a]', values: [b]}]}]}",
            [],
        ),
        ("AuthorizationPolicy", "{rules: [{to: [{operation: {paths: [/internal/*]}}]}]}", []),
        ("PeerAuthentication", "{selector: {}, mtls: {mode: STRICT}}", [LABELS]),
        ("Telemetry", "{tracing: [{}, {}]}", ["multiple tracing is not currently supported"]),
        (
            "ServiceEntry",
            "{hosts: [a.b], workloadSelector: {labels: {app: a}}}",
            ["workloadSelector should not be set when resolution mode is NONE"],
        ),
        (
            "VirtualService",
            f"{{hosts: [web], tls: [{{match: [{{sniHosts: [192.0.2.7, web.example]}}], {ROUTE}}}]}}",
            ['using an IP address ("192.0.2.7") goes against SNI spec and most clients do not support this'],
        ),
        (
            "Sidecar",
            "{ingress: [{port: {number: 9000, name: raw, protocol: TCP}, defaultEndpoint: 127.0.0.1:9000,"
            " connectionPool: {http: {http2MaxRequests: 5}}}, {port: {number: 80, protocol: HTTP},"
            " defaultEndpoint: 127.0.0.1:80, connectionPool: {http: {http2MaxRequests: 5}}}]}",
            [
                'sidecar: HTTP connection pool settings are configured for port 9000 ("raw") but its protocol'
                " is not HTTP (TCP); only TCP settings will apply"
            ],
        ),
        (
            "ServiceEntry",
            "{hosts: [a.b, c.d], addresses: [192.0.2.7], ports: [{number: 80, name: h, protocol: HTTP},"
            " {number: 443, name: t, protocol: TLS}], resolution: DNS}",
            [
                "service entry can not have more than one host specified simultaneously with address and"
                " tcp port"
            ],
        ),
        (
            "ServiceEntry",
            "{hosts: [a.b], ports: [{number: 80, name: h, protocol: HTTP}], resolution: STATIC,"
            " endpoints: [{network: far}]}",
            ['address is unset with network "far"'],
        ),
        ("WorkloadEntry", "{network: far}", ['address is unset with network "far"']),
        ("WorkloadEntry", "{address: 192.0.2.7, network: far}", []),
        ("ConfigMap", "{}", []),
    ],
)
def test_an_object_is_admitted_with_istiods_warnings(kind: str, spec: str, warnings: list[str]) -> None:
    found = answer(kind, spec)
    assert (found["allowed"], found["warnings"]) == (True, warnings)


def test_an_envoy_filter_is_never_admitted_silently() -> None:
    (warning,) = answer("EnvoyFilter", "{configPatches: []}")["warnings"]
    assert warning.startswith("EnvoyFilter exposes internal implementation details")


def test_the_injectors_path_gives_no_warnings() -> None:
    assert "warnings" not in answer("EnvoyFilter", "{configPatches: []}", "/inject")


def test_the_validating_webhooks_of_its_own_service_are_trusted_by_an_update() -> None:
    def hook(namespace: str) -> dict[str, Any]:
        return {"name": "v", "clientConfig": {"service": {"name": "istiod", "namespace": namespace}}}

    api = Api()
    item = {"metadata": {"name": "istio-validator"}, "webhooks": [hook("istio-system"), hook("other")]}
    asyncio.run(webhook(api)._close(item, "Y2E="))
    (updated,) = api.updated
    assert [each["clientConfig"].get("caBundle") for each in updated["webhooks"]] == ["Y2E=", None]
    assert [each.get("failurePolicy") for each in updated["webhooks"]] == ["Fail", None]
    asyncio.run(webhook(api)._close(updated, "Y2E="))
    assert len(api.updated) == 1
