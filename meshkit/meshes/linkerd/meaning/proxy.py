"""How to recognize Linkerd's proxy in a pod, and its identity, which is a DNS name."""

from __future__ import annotations

from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.pods import Proxy

COMPONENT = "linkerd.io/control-plane-component"
"""The label of the control plane's own pods: its charts give each a proxy."""


def identity(namespace: str, account: str) -> str:
    """The identity of a ServiceAccount's pods."""
    return f"{account}.{namespace}.serviceaccount.identity.linkerd.{CLUSTER_DOMAIN}"


PROXY = Proxy(
    mesh="linkerd",
    container="linkerd-proxy",
    skipped_ports="config.linkerd.io/skip-inbound-ports",
    skipped_outbound_ports="config.linkerd.io/skip-outbound-ports",
    san_type="DNS",
    identity=identity,
    own_pods=COMPONENT,
    inherited_annotations="config.linkerd.io/",
    roots_variable="LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS",
)
