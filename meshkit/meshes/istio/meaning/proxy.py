"""Istio's proxy in a pod: its container, its marks, and the SPIFFE URI that it proves."""

from __future__ import annotations

from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.pods import Proxy

TLS_MODE_LABEL = "security.istio.io/tlsMode"
"""The label that says of a pod whether its proxy takes mutual TLS."""
TLS_MODE = "istio"
"""The value of TLS_MODE_LABEL where it does."""


def identity(namespace: str, account: str) -> str:
    """The name that a ServiceAccount's pods prove."""
    return f"spiffe://{CLUSTER_DOMAIN}/ns/{namespace}/sa/{account}"


PROXY = Proxy(
    mesh="istio",
    container="istio-proxy",
    skipped_ports="traffic.sidecar.istio.io/excludeInboundPorts",
    san_type="URI",
    identity=identity,
    revision_mark="istio.io/rev",
)
