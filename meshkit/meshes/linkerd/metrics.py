"""Linkerd's proxy metrics on the callers' side (direction="outbound").

A version is told by ``dst_service``: each version has a Service of its own, SERVICE-VERSION, as the backend
of the route. ``classification`` holds 5xx, gRPC failures and requests without an answer; latencies have
only the status. A caller without an identity is refused with 403, and counted as a denial.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes.metrics import UNKNOWN, Link, MetricTable, PeerLabels, Sample, Unreached

_DENIED = ("inbound_http_authz_deny_total", "inbound_tcp_authz_deny_total")
_UNANSWERED = ("502", "503")


def _links(sample: Sample, pod: Object, namespace: str | None) -> Iterator[Link]:
    labels = sample.labels
    if labels.get("direction") == "outbound":
        status = labels.get("status_code", _UNANSWERED[0])
        lost = labels.get("classification") == "failure" and status in _UNANSWERED
        of_server = labels.get("dst_namespace") or namespace or pod["metadata"]["namespace"]
        if lost and namespace in (None, of_server):
            server = labels.get("dst_deployment") or labels.get("dst_service") or UNKNOWN
            yield Link(workload(pod), f"{of_server}/{server}", "failed")
        return
    if namespace not in (None, pod["metadata"]["namespace"]) or labels.get("route_name") == "probe":
        return
    secured = labels.get("tls") == "true"
    client = _client(labels.get("client_id", "")) if secured else UNKNOWN
    if sample.name in _DENIED or labels.get("status_code") == "403":
        if not secured:
            yield Link(client, workload(pod), "refused")
    else:
        yield Link(client, workload(pod), "mutual_tls" if secured else "plain")


def _client(identity: str) -> str:
    """``client.shop.serviceaccount.identity.linkerd.cluster.local`` -> ``shop/client``."""
    account, _, rest = identity.partition(".")
    namespace = rest.partition(".")[0]
    return f"{namespace}/{account}" if namespace else UNKNOWN


METRICS = MetricTable(
    sidecar="linkerd-proxy",
    port=4191,
    path="/metrics",
    requests="response_total",
    latency="response_latency_ms",
    where={"direction": "outbound"},
    where_present={"dst_namespace": "{namespace}"},
    version_label="dst_service",
    service_label="dst_service",
    version_value="{service}-{version}",
    failed={"classification": "failure", "status_code": "5.."},
    outbound=("direction", "outbound"),
    peer=PeerLabels(workload="dst_deployment", namespace="dst_namespace", asked_for="authority", protocol=""),
    link_counters=("response_total", *_DENIED),
    links=_links,
    pod_label="dst_pod",
    unreached=Unreached(
        tuple(f"outbound_{kind}_route_backend_response_statuses_total" for kind in ("http", "grpc")),
        ({"backend_namespace": "{namespace}", "error": "FAIL_FAST"},),
        version_label="backend_name",
    ),
)
