"""How to recognize Istio's proxy in a pod, and its SPIFFE identity."""

from __future__ import annotations

from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.pods import Proxy

TLS_MODE_LABEL = "security.istio.io/tlsMode"
"""The label of a pod that tells whether its proxy accepts mutual TLS."""
TLS_MODE = "istio"
"""The value of TLS_MODE_LABEL for mutual TLS."""


def identity(namespace: str, account: str) -> str:
    """The SPIFFE ID of a ServiceAccount's pods."""
    return f"spiffe://{CLUSTER_DOMAIN}/ns/{namespace}/sa/{account}"


PROXY = Proxy(
    mesh="istio",
    container="istio-proxy",
    skipped_ports="traffic.sidecar.istio.io/excludeInboundPorts",
    captured_ports="traffic.sidecar.istio.io/includeInboundPorts",
    skipped_outbound_ports="traffic.sidecar.istio.io/excludeOutboundPorts",
    san_type="URI",
    identity=identity,
    revision_mark="istio.io/rev",
    pod_labels=((TLS_MODE_LABEL, TLS_MODE),),
)

APP_PROBERS = "ISTIO_KUBE_APP_PROBERS"
"""The variable of a sidecar whose agent answers the kubelet's probes: its value has the application's own."""
