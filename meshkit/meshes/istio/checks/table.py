"""The facts about Istio 1.31 that checks compare a cluster with."""

from __future__ import annotations

from meshkit.meshes.checks import (
    Authority,
    CalledPort,
    GatewayVersion,
    MeshChecks,
    NodeAgent,
    PortProtocols,
)
from meshkit.meshes.istio import access, observability, planner
from meshkit.meshes.istio.ambient import waypoints
from meshkit.meshes.istio.checks import alpha_annotations, ambient, injection, known_annotations
from meshkit.meshes.istio.checks.configuration import run as configuration

_PROTOCOLS = frozenset(
    {
        *("http", "http2", "grpc", "grpc-web", "https", "tls", "tcp", "udp", "mongo", "redis", "mysql"),
        *("kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"),
    }
)
"""appProtocol values and prefixes of port names (pkg/config/kube/conversion.go of Istio)."""

CHECKS = MeshChecks(
    kinds=(*configuration.KINDS, waypoints.GATEWAY, waypoints.GATEWAY_CLASS),
    oldest_kubernetes=(1, 32),
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
    running=(injection.check, known_annotations.check, configuration.check, ambient.check),
    of_objects=(known_annotations.check, configuration.check, ambient.check),
)
