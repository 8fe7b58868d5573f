"""The facts about Istio 1.31 that checks compare a cluster with."""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshkit.meshes.checks import (
    Authority,
    CalledPort,
    GatewayVersion,
    KubernetesRange,
    MeshChecks,
    NodeAgent,
    PortProtocols,
)
from meshkit.meshes.istio import access, observability, planner
from meshkit.meshes.istio.ambient import waypoints
from meshkit.meshes.istio.checks import (
    alpha_annotations,
    ambient,
    injection,
    known_annotations,
    retired_hosts,
)
from meshkit.meshes.istio.checks.configuration import run as configuration

_PROTOCOLS = frozenset(
    {
        *("http", "http2", "grpc", "grpc-web", "https", "tls", "tcp", "udp", "mongo", "redis", "mysql"),
        *("kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"),
    }
)
"""appProtocol values and prefixes of port names (pkg/config/kube/conversion.go of Istio)."""

_KUBERNETES: Mapping[tuple[int, int], KubernetesRange] = {
    (1, 27): KubernetesRange((1, 29), (1, 33)),
    (1, 28): KubernetesRange((1, 30), (1, 34)),
    (1, 29): KubernetesRange((1, 31), (1, 35)),
    (1, 30): KubernetesRange((1, 32), (1, 36)),
    (1, 31): KubernetesRange((1, 32), (1, 37)),
}
"""Minor version of Istio -> the versions of Kubernetes that it supports.

By "Support status of Istio releases" at istio.io (data/compatibility/supportStatus.yml of istio/istio.io, as
of 2026-09-30). Istio's own command line refuses what is older, and does not judge what is newer.
"""


def kubernetes_range(version: str) -> KubernetesRange | None:
    """The versions of Kubernetes that a version of Istio supports; None if it is not in the table."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return _KUBERNETES.get((int(found[1]), int(found[2]))) if found else None


CHECKS = MeshChecks(
    kinds=(*configuration.KINDS, waypoints.GATEWAY, waypoints.GATEWAY_CLASS),
    kubernetes=kubernetes_range,
    init_container="istio-init",
    node_agent=NodeAgent("istio-cni-node", "istio-validation"),
    definitions=(
        planner.VIRTUAL_SERVICE,
        planner.DESTINATION_RULE,
        planner.PEER_AUTHENTICATION,
        access.AUTHORIZATION_POLICY,
        observability.TELEMETRY,
    ),
    authorities=(
        Authority("cacerts", ("root-cert.pem", "ca-cert.pem")),
        Authority("istio-ca-secret", ("ca-cert.pem",)),
    ),
    # Istio reads v1beta1 by its own client; meshkit writes routes in v1.
    gateway_versions=(
        *(
            GatewayVersion(resource, "v1beta1", "error")
            for resource in ("gateways", "gatewayclasses", "httproutes", "referencegrants")
        ),
        *(GatewayVersion(resource, "v1", "warning") for resource in ("gateways", "gatewayclasses")),
        *(GatewayVersion(resource, "v1", "error") for resource in ("httproutes", "grpcroutes")),
    ),
    called_ports=(CalledPort(15012, "sidecars"), CalledPort(15017, "the API server")),
    port_protocols=PortProtocols(_PROTOCOLS, _PROTOCOLS, "guesses the protocol"),
    before=(alpha_annotations.check,),
    running=(
        injection.check,
        known_annotations.check,
        configuration.check,
        ambient.check,
        retired_hosts.check,
    ),
    of_objects=(known_annotations.check, configuration.check, ambient.check, retired_hosts.check),
)
