"""Istio's implementation of ``Mesh``."""

from __future__ import annotations

from meshkit.facts import Kind
from meshkit.kube.kinds import CONFIG_MAP, SERVICE, WORKLOADS
from meshkit.kube.kinds import NAMESPACE as NAMESPACE_KIND
from meshkit.meshes.base import Mesh, MeshKinds, RemovalMarks, Revisions
from meshkit.meshes.control_plane import ControlPlaneFacts, MinorSkew
from meshkit.meshes.definitions import crds
from meshkit.meshes.gateway_api.exposures import GATEWAY
from meshkit.meshes.gateway_api.routes import GRPC_ROUTE, HTTP_ROUTE
from meshkit.meshes.istio import intents, retirement, revisions
from meshkit.meshes.istio.access import AUTHORIZATION_POLICY, SHADOW
from meshkit.meshes.istio.analysis import ANALYZER
from meshkit.meshes.istio.checks.migration import run as migration
from meshkit.meshes.istio.checks.table import CHECKS
from meshkit.meshes.istio.control_plane import DEFAULT_VERSION, NAMESPACE, RESOURCES
from meshkit.meshes.istio.injection import INJECTION_RULES, agent_probes
from meshkit.meshes.istio.meaning import sidecar as meaning
from meshkit.meshes.istio.metrics import METRICS
from meshkit.meshes.istio.observability import TELEMETRY
from meshkit.meshes.istio.planner import PEER_AUTHENTICATION, PLANNER, VIRTUAL_SERVICE, mutual_tls
from meshkit.meshes.istio.traffic import conversion
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE
from meshkit.meshes.istio.traffic.policies import SERVICE_ENTRY
from meshkit.meshes.istio.traffic.written_back import routes as written
from meshkit.meshes.monitoring.objects import RULE
from meshkit.meshes.monitoring.scraping import POD_MONITOR

ISTIO = Mesh(
    name="istio",
    title="Istio",
    planner=PLANNER,
    metrics=METRICS,
    checks=CHECKS,
    injection=INJECTION_RULES,
    control_plane=ControlPlaneFacts(
        home=NAMESPACE,
        component_label="app",
        components=("istiod",),
        part="app=istiod",
        image="istio/pilot",
        node_proxy="istio/ztunnel",
        node_agents=("istio/install-cni",),
        default_version=DEFAULT_VERSION,
        resources=RESOURCES,
        version_value=("global", "tag"),
        # Istio's guides to canary and to in-place upgrades.
        minor_skew=MinorSkew(in_place=1, beside=2),
        revision_label=revisions.REVISION,
        writers=("pilot-discovery",),
    ),
    kinds=MeshKinds(
        route=VIRTUAL_SERVICE,
        access=AUTHORIZATION_POLICY,
        mutual_tls=PEER_AUTHENTICATION,
        other_routes=(HTTP_ROUTE, GRPC_ROUTE),
    ),
    removal=RemovalMarks(
        charts=("gateway", "ztunnel", "istiod", "cni", "base"),
        group="istio.io",
        written=(
            ("Secret", "istio-ca-secret"),
            ("ConfigMap", "istio-ca-root-cert"),
            ("ConfigMap", "istio-ca-crl"),
            ("ConfigMap", "istio-leader"),
            ("ConfigMap", "istio-ip-autoallocate"),
            ("ConfigMap", "istio-node-untaint"),
            ("ConfigMap", "istio-analyze-leader"),
            ("ConfigMap", "istio-gateway-status-leader"),
            ("ConfigMap", "istio-namespace-controller-election"),
        ),
        roots="istio-ca-root-cert",
        elsewhere="'istioctl uninstall --purge' removes what istioctl installed.",
        copied=("istio-ca-root-cert", "istio-ca-crl"),
        copied_label="istio.io/config=true",
        anywhere=("gateway",),
    ),
    mutual_tls=mutual_tls,
    meaning=meaning,
    crds=lambda: (*crds("istio"), *crds("gateway_api"), *crds("gateway_api/gateways")),
    not_evaluated=(
        Kind("networking.istio.io/v1alpha3", "EnvoyFilter"),
        Kind("extensions.istio.io/v1alpha1", "WasmPlugin"),
        Kind("networking.istio.io/v1beta1", "ProxyConfig"),
    ),
    revisions=Revisions(
        label=revisions.REVISION,
        tags=revisions.tags,
        installed=revisions.revisions,
        foreign_mark=revisions.foreign_mark,
        mark=revisions.injection_mark,
        tag=revisions.tag,
        retirement=retirement,
    ),
    analyzer=ANALYZER,
    intent_checks=intents,
    conversion=conversion,
    written_routes=written,
    written=(
        *(VIRTUAL_SERVICE, DESTINATION_RULE, SERVICE_ENTRY, PEER_AUTHENTICATION, AUTHORIZATION_POLICY),
        *(HTTP_ROUTE, GRPC_ROUTE, GATEWAY, TELEMETRY, POD_MONITOR, RULE, SERVICE, CONFIG_MAP),
    ),
    patched=(NAMESPACE_KIND, *WORKLOADS),
    shadow=SHADOW,
    agent_probes=agent_probes,
    to_ambient=migration,
)
