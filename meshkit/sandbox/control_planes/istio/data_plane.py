"""Istio's data plane: the settings of its proxies and its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Peer
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.control_planes.istio.listener_stats import NO_FILTER_CHAIN, exposes
from meshkit.sandbox.control_planes.istio.metrics import IstioSeries, buckets_ms
from meshkit.sandbox.dataplane.exposition import PeerLookup
from meshkit.sandbox.dataplane.render.style import ProxyStyle
from meshkit.sandbox.node import programs
from meshkit.sandbox.node.programs import Image


def _istiod(pod_dir: Path, args: Sequence[str]) -> list[str]:
    programs.require_first_word(args, ("discovery",))
    return programs.module("control_planes.istio.main", "--roles", "injector,config,identity")


def _series(pod: Object, me: Peer, peers: PeerLookup) -> IstioSeries:
    return IstioSeries(me, peers, listeners=exposes(pod, NO_FILTER_CHAIN))


_VARIABLES = frozenset({"REVISION", "DEFAULT_WORKLOAD_CERT_TTL"})

DATA_PLANE = DataPlane(
    proxy=PROXY,
    style=ProxyStyle("istio-envoy", san_type=PROXY.san_type, latency_until="DS_TX_END", detection_s=0),
    page=(15020, "/stats/prometheus"),
    series=_series,
    buckets_ms=buckets_ms,
    images={
        "docker.io/istio/proxyv2": programs.PROXY,
        "docker.io/istio/pilot": Image("program", _istiod, _VARIABLES),
    },
    filtered_port=15090,
)
