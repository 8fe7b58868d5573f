"""Istio's standard metrics of its ``istio.stats`` filter, from the callers' side (reporter="source").

``destination_version`` has the version: the ``version`` label of the pod that answered. Failures are status
5xx, 0 (no answer), and the gRPC codes unknown, deadline exceeded, internal, unavailable and data loss. No
label names the pod that answered, so counts of single pods are from their own side (reporter="destination").

A request for which the caller's proxy chose no pod (flags UH: no healthy upstream, NC: no cluster, UO:
circuit breaker) has no workload, no version and, as these come from the pod, no namespace.
``destination_service`` has the Service of its cluster; without a cluster, the caller's Host header.

Under strict mutual TLS, a plaintext connection matches no filter chain of the server's inbound listener and
reaches no filter, so no metric of Istio counts it. Envoy itself counts it in a statistic of the listener,
which proxies expose only if their configuration includes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from meshkit.facts import Object
from meshkit.kube.pods import all_containers, workload
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

_REQUESTS, _UNMATCHED = "istio_requests_total", "envoy_listener_no_filter_chain_match"
INBOUND = "_15006"
"""The end of the inbound listener's address in the names of statistics, for IPv4 and IPv6."""
REFUSALS = f"{INBOUND}.no_filter_chain_match"
"""The suffix by which ``proxyStatsMatcher`` includes the count of refused connections."""
_ENVOY_PORT = 15090
"""The port of a proxy on which Envoy alone writes its metrics (istio.io, Ports used by Istio)."""
_CONNECTIONS = "istio_tcp_connections_opened_total"
_RBAC = re.compile(r"envoy_http_inbound_[0-9a-fA-F_]*?_(?P<port>[0-9]+)_?_rbac")
"""Envoy's decisions by access rules (istio.io, Security, Dry Run); its tags are in Istio's bootstrap."""
_NO_POD = {
    "reporter": "source",
    "destination_workload": UNKNOWN,
    "response_flags": "(.*,)?(UH|NC|UO)(,.*)?",
}
_PORT = "(:[0-9]+)?"


def _to_service(labels: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    """The patterns of requests with these labels to the target, by its full name or a caller's short one."""
    return (
        {**labels, "destination_service": r"{service}\.{namespace}(\.svc(\..+)?)?" + _PORT},
        {
            **labels,
            "destination_service": "{service}" + _PORT,
            "source_workload_namespace": "{namespace}",
        },
    )


STATS_MATCHER = {"inclusionSuffixes": [REFUSALS]}


def _links(sample: Sample, pod: Object, namespace: str | None) -> Iterator[Link]:
    labels = sample.labels
    if sample.name == _UNMATCHED:
        inbound = labels.get("listener_address", "").endswith(INBOUND)
        if inbound and namespace in (None, pod["metadata"]["namespace"]):
            yield Link(UNKNOWN, workload(pod), "refused")
        return
    if labels.get("reporter") == "source":
        of_server = labels.get("destination_service_namespace", UNKNOWN)
        if labels.get("response_code") in ("0", "503") and namespace in (None, of_server):
            yield Link(workload(pod), f"{of_server}/{labels.get('destination_service_name')}", "failed")
        return
    if namespace not in (None, pod["metadata"]["namespace"]):
        return
    secured = labels.get("connection_security_policy") == "mutual_tls"
    client = _client(labels) if secured else UNKNOWN
    yield Link(client, workload(pod), "mutual_tls" if secured else "plain")


def _server_calls(sample: Sample, pod: Object) -> Iterator[ServerCall]:
    """Requests by caller and Service, without a port; and decisions of access rules by port alone."""
    labels, server = sample.labels, workload(pod)
    if decided := _RBAC.fullmatch(sample.name):
        port = int(decided["port"])
        if labels.get("authz_dry_run_result") == "denied":
            yield ServerCall("", server, "", port, "would_be_denied")
        elif result := labels.get("authz_enforce_result"):
            yield ServerCall("", server, "", port, "denied" if result == "denied" else "passed")
    elif labels.get("reporter") == "destination":
        secured = labels.get("connection_security_policy") == "mutual_tls"
        outcome: Outcome = "forbidden" if labels.get("response_code") == "403" else "passed"
        service = labels.get("destination_service_name", "")
        named = "" if service == UNKNOWN else service
        yield ServerCall(_client(labels) if secured else UNKNOWN, server, named, 0, outcome)


def _may_refuse(pod: Object) -> bool:
    """Whether a pod's proxy has an inbound listener, which the proxy of a gateway has not."""
    proxies = (each for each in all_containers(pod) if each["name"] == METRICS.sidecar)
    return not any("router" in (each.get("args") or ()) for each in proxies)


def _client(labels: Mapping[str, str]) -> str:
    """The caller's authenticated account (``spiffe://.../ns/shop/sa/client``), else its workload."""
    proven = re.search(r"/ns/([^/]+)/sa/([^/]+)", labels.get("source_principal", ""))
    if proven:
        return f"{proven[1]}/{proven[2]}"
    name, namespace = labels.get("source_workload", UNKNOWN), labels.get("source_workload_namespace", "")
    return f"{namespace}/{name}" if name != UNKNOWN else UNKNOWN


def _filtered(counters: Sequence[str]) -> tuple[int, str]:
    """Envoy's own page, whose port passes queries on; pilot-agent, which merges it with others, does not.

    Envoy writes the statistics in whose names it finds the expression, and with ``usedonly`` those that were
    ever counted (https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--stats-prometheus).
    """
    names = {name.removesuffix("_bucket") for name in counters}
    # Names of metrics need no escape in an expression nor in a query; the bar between them does.
    return _ENVOY_PORT, f"/stats/prometheus?usedonly&filter={'%7C'.join(sorted(names))}"


def _bucket_setting(edges_ms: Sequence[float]) -> str:
    (name, value), *_ = _bucket_annotations(edges_ms).items()
    return (
        "Or give the pods of the callers, and of both versions, closer buckets before the start, by the "
        f"annotation {name}: '{value}' in their template; `meshkit release buckets` plans that."
    )


def _bucket_annotations(edges_ms: Sequence[float]) -> Mapping[str, str]:
    value = json.dumps({"istiocustom": [round(edge, 3) for edge in edges_ms]}, separators=(",", ":"))
    return {"sidecar.istio.io/statsHistogramBuckets": value}


METRICS = MetricTable(
    sidecar="istio-proxy",
    port=15020,
    path="/stats/prometheus",
    requests=_REQUESTS,
    latency="istio_request_duration_milliseconds",
    where={
        "reporter": "source",
        "destination_service_name": "{service}",
        "destination_service_namespace": "{namespace}",
    },
    where_present={},
    version_label="destination_version",
    service_label="destination_service_name",
    version_value="{version}",
    failed={"response_code": "5..|0", "grpc_response_status": "2|4|13|14|15"},
    outbound=("reporter", "source"),
    peer=PeerLabels(
        workload="destination_workload",
        namespace="destination_workload_namespace",
        asked_for="destination_service",
        protocol="request_protocol",
    ),
    link_counters=(_REQUESTS, _UNMATCHED),
    links=_links,
    server_calls=ServerCounters(
        re.compile(f"{_REQUESTS}|{_CONNECTIONS}|{_RBAC.pattern}"),
        _server_calls,
        f"{_REQUESTS} and {_CONNECTIONS} of the servers' sidecars, which tell neither port, path nor method;"
        " denials by envoy_http_inbound_*_rbac, which tells no caller",
        names_denied=False,
    ),
    refusal_setting=f"meshConfig.defaultConfig.proxyStatsMatcher.inclusionSuffixes: ['{REFUSALS}']",
    may_refuse=_may_refuse,
    buckets=_bucket_setting,
    filtered=_filtered,
    bucket_annotations=_bucket_annotations,
    pod_where={"reporter": "destination"},
    unreached=Unreached(
        (_REQUESTS,),
        _to_service(_NO_POD),
        injected=_to_service({**_NO_POD, "response_flags": "(.*,)?FI(,.*)?"}),
    ),
)
