"""The intents and snapshots that the golden plans are made from."""

from __future__ import annotations

import base64
from typing import Any

from meshkit.facts import Snapshot
from meshkit.intent.balancing import ConnectionLimits, LoadBalancing, OutlierDetection
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy, TLSOrigination
from meshkit.intent.edges.egress import Egress, EgressPort
from meshkit.intent.edges.exposure import Certificate, ExposedService, Exposure
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane, Gateway, Quota, Resources
from meshkit.intent.observability import Alerts, Observability, Tracing
from meshkit.intent.rules import Fault, GrpcMatch, Match, Retries, Rule
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.intent.traffic import HeaderMatch, Route, Version
from meshkit.meshes.base import MeshPlanner
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.linkerd import planner as linkerd

PLANNERS: dict[str, MeshPlanner] = {"istio": istio.PLANNER, "linkerd": linkerd.PLANNER}


def deployment(name: str, account: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "generation": 3},
        "spec": {
            "selector": {"matchLabels": {"name": name}},
            "template": {"spec": {"serviceAccountName": account}},
        },
    }


def pod(name: str, *containers: str, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "shop",
            "labels": {"name": name},
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": container} for container in containers]},
    }


def serving(name: str) -> dict[str, Any]:
    """A pod that is probed on the port that its Service offers."""
    made = pod(name)
    probe = {"httpGet": {"path": "/ready?verbose", "port": "web"}}
    port = {"name": "web", "containerPort": 8080}
    made["spec"]["containers"] = [{"name": "app", "ports": [port], "readinessProbe": probe}]
    return made


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SHOP = Snapshot(
    (
        *({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in "abc"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "linkerd-identity-issuer", "namespace": "linkerd"},
            "data": {key: encoded(f"the {key}\n") for key in ("ca.crt", "tls.crt", "tls.key")},
        },
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "shop", "annotations": {"linkerd.io/inject": "enabled"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "selector": {"app": "web"},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "http"}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "pay", "namespace": "shop"},
            "spec": {
                "selector": {"name": "pay"},
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "web"},
                    {"name": "tcp-admin", "port": 9090, "appProtocol": "linkerd.io/tcp"},
                ],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "ledger", "namespace": "shop"},
            "spec": {"selector": {"app": "ledger"}, "ports": [{"name": "tcp-db", "port": 5432}]},
        },
        serving("pay"),
        deployment("bare"),
        pod("bare", "app"),
        deployment("meshed"),
        pod("meshed", "app", "istio-proxy", "linkerd-proxy"),
        deployment("strict", account="strict"),
        pod("strict", "app", "linkerd-proxy", **{linkerd.INBOUND_POLICY: "all-authenticated"}),
    )
)
VERSIONS = (Version(name="v1"), Version(name="v2", labels={"track": "canary"}))


CALLERS = (
    Caller(namespace="shop", service_account="client"),
    Caller(namespace="shop", workload="strict"),
    Caller(namespace="tests"),
)


CALLS = (
    Rule(matches=(Match(grpc=GrpcMatch(service="shop.Cart", method="Add")),), split={"v2": 100}),
    Rule(matches=(Match(grpc=GrpcMatch(service="shop.Cart")),), split={"v1": 100}),
)
RETRIED = Retries(attempts=2, grpc_statuses=("unavailable", "resource-exhausted"))


def route(**fields: Any) -> Route:
    given = {"namespace": "shop", "service": "web", "port": 80, "versions": VERSIONS}
    return Route(**{**given, "split": {"v1": 99.5, "v2": 0.5}, **fields})


CASES: dict[str, tuple[tuple[str, ...], Intent]] = {
    "control-plane": (("istio", "linkerd"), ControlPlane()),
    "control-plane-charts": (
        ("istio", "linkerd"),
        ControlPlane(
            charts="published",
            quota=Quota(cpu="8", memory="24Gi"),
            resources=Resources(cpu="200m", memory="1Gi"),
            values={"global": {"logAsJson": True}},
        ),
    ),
    "control-plane-all-charts": (
        ("istio",),
        ControlPlane(charts="published", cni=True, gateway=Gateway(values={"labels": {"team": "edge"}})),
    ),
    "control-plane-revision": (("istio",), ControlPlane(revision="1-31-4", tags=("prod", "default"))),
    "control-plane-revision-charts": (
        ("istio",),
        ControlPlane(revision="1-31-4", tags=("prod",), charts="published", gateway=Gateway()),
    ),
    "injection": (("istio", "linkerd"), Injection(namespace="shop")),
    "injection-revision": (("istio",), Injection(namespace="shop", revision="prod", restart=False)),
    "injection-no-restart": (("istio", "linkerd"), Injection(namespace="shop", restart=False)),
    "mutual-tls-mesh": (("istio", "linkerd"), MutualTLS(mode="strict")),
    "mutual-tls-namespace": (("istio", "linkerd"), MutualTLS(mode="permissive", namespace="shop")),
    "access": (("istio", "linkerd"), Access(namespace="shop", service="pay", callers=CALLERS)),
    "access-shadow": (
        ("istio", "linkerd"),
        Access(namespace="shop", service="pay", callers=CALLERS, mode="shadow", until="2027-03-31"),
    ),
    "access-paths": (
        ("istio", "linkerd"),
        Access(
            namespace="shop",
            service="pay",
            port=80,
            callers=CALLERS[:1],
            paths=("/api/*", "/health"),
            methods=("GET", "POST"),
            name="api",
        ),
    ),
    "observability": (("istio", "linkerd"), Observability(access_log="all")),
    "observability-operator": (
        ("istio", "linkerd"),
        Observability(
            operator=True,
            namespace="shop",
            labels={"release": "prometheus"},
            interval_s=30,
            alerts=Alerts(error_percent=0.5, p99_ms=250),
        ),
    ),
    "observability-istio-only": (
        ("istio",),
        Observability(access_log="errors", tracing=Tracing(percent=0.5, provider="collector")),
    ),
    "route": (("istio", "linkerd"), route()),
    "route-resilient": (
        ("istio", "linkerd"),
        route(
            split={"v1": 100},
            matches=(HeaderMatch(header="X-Beta", value="yes", version="v2"),),
            timeout_s=1.5,
            retries=Retries(attempts=2, per_try_timeout_s=0.5, on="5xx"),
            outlier_detection=OutlierDetection(consecutive_5xx=3, base_ejection_s=10),
        ),
    ),
    "route-istio-only": (
        ("istio",),
        route(
            load_balancing=LoadBalancing(hash_header="x-user"),
            connection_limits=ConnectionLimits(max_connections=10, max_pending_requests=5),
            fault=Fault(delay_s=0.3, delay_percent=10, abort_status=503, abort_percent=0.5),
        ),
    ),
    "route-gateway": (("istio",), route(api="gateway")),
    "route-tcp": (
        ("istio",),
        route(
            service="ledger",
            port=5432,
            protocol="tcp",
            connection_limits=ConnectionLimits(max_connections=10),
        ),
    ),
    "route-grpc": (
        ("istio", "linkerd"),
        route(service="pay", selector={"name": "pay"}, rules=CALLS, retries=RETRIED),
    ),
    "route-grpc-gateway": (("istio",), route(rules=CALLS, api="gateway")),
    "destination-policy": (
        ("istio", "linkerd"),
        DestinationPolicy(
            namespace="shop",
            host="web",
            outlier_detection=OutlierDetection(consecutive_5xx=3, base_ejection_s=10),
        ),
    ),
    "destination-policy-outside": (
        ("istio",),
        DestinationPolicy(
            namespace="shop",
            host="payments.example.com",
            port=80,
            tls=TLSOrigination(mode="mutual", secret="payments-client"),
            callers={"app": "web"},
        ),
    ),
    "egress": (
        ("istio", "linkerd"),
        Egress(
            namespace="shop",
            name="payments",
            hosts=("payments.example.com", "api.example.com"),
            ports=(EgressPort(number=80, protocol="http"), EgressPort(number=8443, protocol="http2")),
        ),
    ),
    "egress-tls": (
        ("istio",),
        Egress(
            namespace="shop",
            name="partners",
            hosts=("*.example.com",),
            ports=(EgressPort(number=443, protocol="tls"),),
            callers="mesh",
        ),
    ),
    "egress-addresses": (
        ("istio",),
        Egress(
            namespace="shop",
            name="database",
            hosts=("db.example.com",),
            ports=(
                EgressPort(number=5432, protocol="tcp"),
                EgressPort(number=80, protocol="http", target_port=443),
            ),
            addresses=("192.0.2.10", "192.0.2.11"),
        ),
    ),
    "egress-refuse": (
        ("linkerd",),
        Egress(
            namespace="shop",
            name="payments",
            hosts=("payments.example.com",),
            ports=(EgressPort(number=80, protocol="http"),),
            others="refuse",
        ),
    ),
    "exposure": (
        ("istio",),
        Exposure(
            namespace="shop",
            name="public",
            hosts=("shop.example.com", "*.shop.example.com"),
            certificate=Certificate(secret="shop-tls", issuer="letsencrypt"),
            routes=(
                ExposedService(service="web", port=80, split={"v1": 90, "v2": 10}),
                ExposedService(service="web", port=80, path="/api/"),
            ),
        ),
    ),
    "exposure-plain": (
        ("istio",),
        Exposure(
            namespace="shop",
            name="inside",
            hosts=("shop.example.com",),
            routes=(ExposedService(service="web", port=80),),
            port=8080,
            service="ClusterIP",
        ),
    ),
}
