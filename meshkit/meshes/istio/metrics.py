"""Istio's standard metrics as its ``istio.stats`` filter writes them, read on the callers' side
(reporter="source").

A version is told by ``destination_version``, the ``version`` label of the pod that answered. Failures:
status 5xx, 0 (no answer), and the gRPC codes unknown, deadline exceeded, internal, unavailable and data
loss. No label names the pod that answered, so single pods are read from their own side
(reporter="destination").
"""

from __future__ import annotations

from meshkit.meshes.metrics import MetricTable

METRICS = MetricTable(
    sidecar="istio-proxy",
    port=15020,
    path="/stats/prometheus",
    requests="istio_requests_total",
    latency="istio_request_duration_milliseconds",
    where={
        "reporter": "source",
        "destination_service_name": "{service}",
        "destination_service_namespace": "{namespace}",
    },
    where_present={},
    version_label="destination_version",
    version_value="{version}",
    failed={"response_code": "5..|0", "grpc_response_status": "2|4|13|14|15"},
    pod_where={"reporter": "destination"},
)
