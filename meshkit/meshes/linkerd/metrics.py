"""Linkerd's proxy metrics on the callers' side (direction="outbound").

A version is told by ``dst_service``: each version has a Service of its own, SERVICE-VERSION, as the backend
of the route. ``classification`` holds 5xx, gRPC failures and requests without an answer; latencies have
only the status. A caller without an identity is refused with 403, and counted as a denial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes.metrics import (
    UNKNOWN,
    Link,
    MetricTable,
    Outcome,
    PeerLabels,
    Sample,
    ServerCall,
    ServerCounters,
    Unreached,
)

_DENIED = ("inbound_http_authz_deny_total", "inbound_tcp_authz_deny_total")
_ALLOWED = ("inbound_http_authz_allow_total", "inbound_tcp_authz_allow_total")
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


def _server_calls(sample: Sample, pod: Object) -> Iterator[ServerCall]:
    """Requests and connections by caller and port.

    Whom only the ``accessPolicy`` of a Server lets in, or ``audit``, is refused once that is ``deny``.
    Linkerd tries it after all policies (the order of AuthorizationRef in policy-controller/core).
    """
    labels = sample.labels
    if labels.get("route_name") == "probe":
        return
    client = _client(labels.get("client_id", "")) if labels.get("tls") == "true" else UNKNOWN
    by_default = labels.get("authz_kind") == "default"
    on_trial = by_default and (labels.get("srv_kind") == "server" or labels.get("authz_name") == "audit")
    outcome: Outcome = "denied" if sample.name in _DENIED else "would_be_denied" if on_trial else "passed"
    port = labels.get("target_port", "")
    yield ServerCall(client, workload(pod), "", int(port) if port.isdigit() else 0, outcome)


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
    server_calls=ServerCounters(
        re.compile("|".join((*_ALLOWED, *_DENIED))),
        _server_calls,
        "inbound_*_authz_*_total of the servers' sidecars, which tell neither path nor method",
        names_denied=True,
    ),
    pod_label="dst_pod",
    unreached=Unreached(
        tuple(f"outbound_{kind}_route_backend_response_statuses_total" for kind in ("http", "grpc")),
        ({"backend_namespace": "{namespace}", "error": "FAIL_FAST"},),
        version_label="backend_name",
    ),
)
