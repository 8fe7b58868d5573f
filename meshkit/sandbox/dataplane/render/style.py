"""How the proxies of one mesh differ in Envoy's configuration, apart from what their routes mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshkit.sandbox.dataplane.render.wire import JSON


@dataclass(frozen=True)
class ProxyStyle:
    """What Envoy is told to be like."""

    server_name: str
    """The value of the header ``server`` in its answers."""
    san_type: Literal["URI", "DNS"]
    """What kind of name the certificates of other proxies hold."""
    latency_until: Literal["DS_TX_BEG", "DS_TX_END"]
    """Whether a latency lasts until the first or the last byte of the answer, in Envoy's words."""
    local_replies: JSON | None = None
    """How answers of its own on the servers' side look; None: as Envoy makes them."""
