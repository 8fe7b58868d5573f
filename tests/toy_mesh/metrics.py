"""The toy mesh's counters: one series for each side, peer and version."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes.metrics import UNKNOWN, Link, MetricTable, PeerLabels, Sample

REQUESTS = "toy_requests_total"
SIDECAR = "toy-proxy"


def _links(sample: Sample, pod: Object, namespace: str | None) -> Iterator[Link]:
    if sample.labels.get("side") != "server" or namespace not in (None, pod["metadata"]["namespace"]):
        return
    client = sample.labels.get("client")
    yield Link(client or UNKNOWN, workload(pod), "mutual_tls" if client else "plain")


METRICS = MetricTable(
    sidecar=SIDECAR,
    port=8080,
    path="/metrics",
    requests=REQUESTS,
    latency="toy_latency_ms",
    where={"side": "client", "service": "{service}", "namespace": "{namespace}"},
    where_present={},
    version_label="version",
    version_value="{version}",
    failed={"code": "5.."},
    outbound=("side", "client"),
    peer=PeerLabels(workload="server", namespace="namespace", asked_for="service", protocol=""),
    link_counters=(REQUESTS,),
    links=_links,
)
