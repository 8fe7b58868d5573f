"""Linkerd's proxy metrics on the callers' side (direction="outbound").

A version is told by ``dst_service``: each version has a Service of its own, SERVICE-VERSION, as the backend
of the route. ``classification`` holds 5xx, gRPC failures and requests without an answer; latencies have
only the status.
"""

from __future__ import annotations

from meshkit.meshes.metrics import MetricTable

METRICS = MetricTable(
    sidecar="linkerd-proxy",
    port=4191,
    path="/metrics",
    requests="response_total",
    latency="response_latency_ms",
    where={"direction": "outbound"},
    where_present={"dst_namespace": "{namespace}"},
    version_label="dst_service",
    version_value="{service}-{version}",
    failed={"classification": "failure", "status_code": "5.."},
    pod_label="dst_pod",
)
