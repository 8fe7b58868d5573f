"""Linkerd's implementation of ``Mesh``."""

from __future__ import annotations

from meshkit.facts import Kind
from meshkit.kube.kinds import CONFIG_MAP, SERVICE, WORKLOADS
from meshkit.kube.kinds import NAMESPACE as NAMESPACE_KIND
from meshkit.meshes.base import InstallRight, Mesh, MeshKinds, RemovalMarks
from meshkit.meshes.control_plane import ControlPlaneFacts
from meshkit.meshes.definitions import crds
from meshkit.meshes.gateway_api.routes import GRPC_ROUTE, HTTP_ROUTE
from meshkit.meshes.identity import Identity
from meshkit.meshes.linkerd import intents, rotation
from meshkit.meshes.linkerd.access import AUTHORIZATION_POLICY, MESH_TLS, NETWORK, SERVER, SHADOW
from meshkit.meshes.linkerd.analysis import ANALYZER
from meshkit.meshes.linkerd.checks.table import CHECKS
from meshkit.meshes.linkerd.control_plane import DEFAULT_VERSION, NAMESPACE, RESOURCES
from meshkit.meshes.linkerd.definitions import definitions
from meshkit.meshes.linkerd.injection import INJECTION_RULES
from meshkit.meshes.linkerd.meaning import sidecar as meaning
from meshkit.meshes.linkerd.metrics import METRICS
from meshkit.meshes.linkerd.pki import ANCHOR, ISSUER, identity_steps
from meshkit.meshes.linkerd.planner import PLANNER, mutual_tls
from meshkit.meshes.linkerd.traffic import written
from meshkit.meshes.monitoring.objects import RULE
from meshkit.meshes.monitoring.scraping import POD_MONITOR

EGRESS_NETWORK = Kind("policy.linkerd.io/v1alpha1", "EgressNetwork")
_NOT_EVALUATED = (
    Kind("linkerd.io/v1alpha2", "ServiceProfile"),
    EGRESS_NETWORK,
    Kind("workload.linkerd.io/v1beta1", "ExternalWorkload"),
    Kind("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
    Kind("gateway.networking.k8s.io/v1alpha2", "TLSRoute"),
)

LINKERD = Mesh(
    name="linkerd",
    title="Linkerd",
    planner=PLANNER,
    metrics=METRICS,
    checks=CHECKS,
    injection=INJECTION_RULES,
    control_plane=ControlPlaneFacts(
        home=NAMESPACE,
        component_label="linkerd.io/control-plane-component",
        components=("destination", "identity", "proxy-injector"),
        part="linkerd.io/control-plane-component",
        image="linkerd/controller",
        default_version=DEFAULT_VERSION,
        resources=RESOURCES,
        version_value=("linkerdVersion",),
    ),
    kinds=MeshKinds(route=HTTP_ROUTE, access=AUTHORIZATION_POLICY, other_routes=(GRPC_ROUTE,)),
    removal=RemovalMarks(
        charts=("linkerd-control-plane", "linkerd-crds"),
        group="linkerd.io",
        written=(
            ("Secret", "linkerd-identity-issuer"),
            ("Secret", "linkerd-trust-anchor"),
            ("Secret", "linkerd-proxy-injector-k8s-tls"),
            ("ConfigMap", "linkerd-identity-trust-roots"),
        ),
        roots="linkerd-identity-trust-roots",
        elsewhere="'linkerd uninstall | kubectl delete -f -' removes what the linkerd command installed.",
        definitions=("linkerd-crds",),
    ),
    mutual_tls=mutual_tls,
    meaning=meaning,
    crds=lambda: (*definitions(), *crds("gateway_api")),
    not_evaluated=tuple(kind for kind in _NOT_EVALUATED if kind not in meaning.KINDS.values()),
    analyzer=ANALYZER,
    identity=Identity(
        secrets=(ISSUER, ANCHOR),
        anchor_name="root.linkerd.{trust_domain}",
        issuer_name="identity.linkerd.{trust_domain}",
        create=identity_steps,
        needs=rotation.needs,
        state=rotation.LinkerdIdentity,
    ),
    install_rights=(
        InstallRight("create", "batch", "cronjobs"),
        InstallRight("get", "", "secrets", at_home=True),
    ),
    intent_checks=intents,
    written_routes=written,
    written=(
        *(HTTP_ROUTE, GRPC_ROUTE, SERVER, AUTHORIZATION_POLICY, MESH_TLS, NETWORK, EGRESS_NETWORK),
        *(POD_MONITOR, RULE, SERVICE, CONFIG_MAP),
    ),
    patched=(NAMESPACE_KIND, SERVICE, *WORKLOADS),
    shadow=SHADOW,
    aggregated_api="linkerd viz tap",
)
