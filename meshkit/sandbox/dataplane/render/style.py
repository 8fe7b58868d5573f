"""Mesh-specific settings of Envoy's configuration that do not depend on routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshkit.sandbox.dataplane.render.wire import JSON


@dataclass(frozen=True)
class ProxyStyle:
    """Settings that make Envoy behave like one mesh's proxy."""

    server_name: str
    """The value of the response header ``server``."""
    san_type: Literal["URI", "DNS"]
    """The type of subject alternative name in the certificates of other proxies."""
    latency_until: Literal["DS_TX_BEG", "DS_TX_END"]
    """The time point that ends a latency: the first or the last byte of the response."""
    detection_s: int
    """How long the proxy waits for a connection's first bytes, which tell its protocol; 0: without limit."""
    local_replies: JSON | None = None
    """Envoy's ``local_reply_config`` for inbound requests; None keeps Envoy's default replies."""
