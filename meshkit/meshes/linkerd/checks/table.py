"""The facts about Linkerd 2.20 that checks compare a cluster with."""

from __future__ import annotations

import re

from meshkit.facts import Kind
from meshkit.meshes.checks import (
    Authority,
    CalledPort,
    GatewayVersion,
    KubernetesRange,
    MeshChecks,
    NodeAgent,
    PortProtocols,
)
from meshkit.meshes.linkerd import access
from meshkit.meshes.linkerd.checks import (
    cluster_networks,
    identity,
    inbound_policy,
    installation,
    labels,
    opaque_ports,
    policies,
    webhook_certificates,
)
from meshkit.meshes.linkerd.checks.chart_values import uses_node_agent
from meshkit.meshes.linkerd.meaning import sidecar as meaning
from meshkit.meshes.linkerd.pki import ISSUER

_OLDEST_KUBERNETES = (((26, 5), (1, 31)), ((25, 2), (1, 23)), ((23, 12), (1, 22)))
"""Year and month of an edge release -> the oldest Kubernetes that it and later ones take, the newest first.

By ``minAPIVersion`` in pkg/k8s/api.go of linkerd2 and ``kubeVersion`` of its charts, which both refuse older
ones. Linkerd names no newest: edge releases support "what is available on major cloud providers".
"""


def kubernetes_range(version: str) -> KubernetesRange | None:
    """The versions of Kubernetes that an edge release supports; None for other versions."""
    found = re.match(r"edge-(\d+)\.(\d+)", version)
    since = (int(found[1]), int(found[2])) if found else (0, 0)
    return next((KubernetesRange(oldest) for first, oldest in _OLDEST_KUBERNETES if since >= first), None)


CHECKS = MeshChecks(
    kinds=(*meaning.KINDS.values(), Kind("v1", "ServiceAccount")),
    kubernetes=kubernetes_range,
    init_container="linkerd-init",
    node_agent=NodeAgent("linkerd-cni", "linkerd-network-validator", uses_node_agent),
    definitions=(access.SERVER, access.AUTHORIZATION_POLICY, access.MESH_TLS, access.NETWORK),
    authorities=(Authority(ISSUER, ("ca.crt", "tls.crt", "crt.pem")),),
    gateway_versions=(
        GatewayVersion("httproutes", "v1", "error"),
        GatewayVersion("grpcroutes", "v1", "error"),
    ),
    requires_gateway_api=True,
    called_ports=(CalledPort(8443, "the API server", "proxy-injector"),),
    port_protocols=PortProtocols(
        frozenset({"http", "kubernetes.io/h2c", "linkerd.io/opaque", "linkerd.io/tcp"}),
        None,
        "takes the port as plain TCP: no routes, no metrics",
    ),
    before=(installation.check_nodes,),
    running=(
        installation.check_nodes,
        installation.check,
        webhook_certificates.check,
        identity.check,
        labels.check,
        inbound_policy.check,
        opaque_ports.check,
        policies.check,
        cluster_networks.check,
    ),
    of_objects=(labels.check, opaque_ports.check, policies.check),
)
