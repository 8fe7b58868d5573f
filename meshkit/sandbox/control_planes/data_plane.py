"""Describes a mesh's data plane: what the node agent needs to know about its proxies.

This module has few imports because the daemon loads it at startup. Only the control plane's pods import
``main.py`` of the mesh's folder, which contains their program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Peer, Proxy
from meshkit.sandbox.dataplane.exposition import PeerLookup
from meshkit.sandbox.dataplane.metrics import PodMetrics, Series
from meshkit.sandbox.dataplane.render.style import ProxyStyle
from meshkit.sandbox.node.programs import Image


@dataclass(frozen=True)
class DataPlane:
    """The proxies of one mesh on the sandbox's nodes."""

    proxy: Proxy
    style: ProxyStyle
    page: tuple[int, str]
    """The port and path of a proxy's metrics page."""
    series: Callable[[Object, Peer, PeerLookup], Series]
    """Makes the metrics of a pod's proxy."""
    buckets_ms: Callable[[Object], tuple[float, ...]]
    """The upper bounds of a pod's latency buckets."""
    images: Mapping[str, Image]
    """The programs that run for the mesh's images, by repository."""
    filtered_port: int = 0
    """The port with the same page where it obeys a query ``filter``, as Envoy's own does; 0: none."""

    def metrics(self, pod: Object, peers: PeerLookup) -> PodMetrics:
        """Return the metrics of a pod's proxy."""
        return PodMetrics(self.series(pod, Peer.of(pod, self.proxy.mesh), peers), self.buckets_ms(pod))
