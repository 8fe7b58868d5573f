"""Linkerd's metrics:

series for each endpoint, classified responses, and routes to backends, as its proxy labels them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.sandbox.proxies.exposition import Family, Labels, PeerLookup
from meshkit.sandbox.proxies.pods import LINKERD, Peer, workload_identity

BUCKETS_MS = tuple(float(digit * 10**power) for power in range(5) for digit in (1, 2, 3, 4, 5))
"""1 2 3 4 5 10 20 ... 50000 (linkerd2-proxy, metrics/src/latency.rs)."""
UNKNOWN = "UNKNOWN"


class LinkerdSeries:
    """Counts requests as Linkerd does."""

    families = (
        Family("request_total", "counter", "Total count of HTTP requests."),
        Family("response_total", "counter", "Total count of HTTP responses."),
        Family(
            "outbound_http_route_backend_requests_total",
            "counter",
            "The total number of requests dispatched.",
        ),
        Family(
            "outbound_http_route_backend_response_statuses_total", "counter", "Completed responses by status."
        ),
    )
    histogram = Family(
        "response_latency_ms", "histogram", "Elapsed times between a request and its response."
    )

    def __init__(self, me: Peer, peers: PeerLookup) -> None:
        self._me = me
        self._peers = peers

    def counters(self, entry: Mapping[str, Any]) -> Iterable[tuple[str, Labels]]:
        """The counters that one request raises."""
        if entry["dir"] == "refused":
            return []
        base = self._base(entry)
        status = _status(entry)
        failed = status is None or status >= 500
        outcome = (("status_code", str(status)),) if status is not None else ()
        found: list[tuple[str, Labels]] = [
            ("request_total", base),
            ("response_total", (*base, *outcome, ("classification", "failure" if failed else "success"))),
        ]
        if entry["dir"] == "outbound" and entry.get("cluster"):
            route = _linkerd_route(entry)
            error = () if status is not None else (("error", UNKNOWN),)
            code = "" if status is None else str(status)
            found.append(("outbound_http_route_backend_requests_total", route))
            found.append(
                (
                    "outbound_http_route_backend_response_statuses_total",
                    (*route, ("http_status", code), *(error or (("error", ""),))),
                )
            )
        return found

    def latency(self, entry: Mapping[str, Any]) -> Labels | None:
        """The labels of the response's latency; None for a connection that brought no request."""
        if entry["dir"] == "refused":
            return None
        status = _status(entry)
        return (*self._base(entry), *((("status_code", str(status)),) if status is not None else ()))

    def _base(self, entry: Mapping[str, Any]) -> Labels:
        return self._outbound(entry) if entry["dir"] == "outbound" else self._inbound(entry)

    def _outbound(self, entry: Mapping[str, Any]) -> Labels:
        address = str(entry.get("upstream") or "")
        ip, _, port = address.partition(":")
        peer = self._peers(address) if address else None
        labels = [("direction", "outbound"), ("authority", str(entry.get("authority") or ""))]
        labels += [("target_addr", address), ("target_ip", ip), ("target_port", port)]
        if entry.get("uptls") and peer:
            labels += [
                ("tls", "true"),
                ("server_id", workload_identity(LINKERD, peer.namespace, peer.service_account)),
            ]
        else:
            labels += [("tls", "no_identity"), ("no_tls_reason", "not_provided_by_service_discovery")]
        if peer:
            labels += [
                ("dst_control_plane_ns", "linkerd" if peer.mesh else ""),
                ("dst_deployment", peer.workload),
                ("dst_namespace", peer.namespace),
                ("dst_pod", peer.pod),
                ("dst_pod_template_hash", peer.labels.get("pod-template-hash", "")),
                ("dst_serviceaccount", peer.service_account),
            ]
        host = str(entry.get("cluster") or "").rpartition("|")[2]
        if host:
            labels.append(("dst_service", host.partition(".")[0]))
        return tuple(labels)

    def _inbound(self, entry: Mapping[str, Any]) -> Labels:
        address = str(entry.get("local") or "")
        ip, _, port = address.partition(":")
        labels = [
            ("direction", "inbound"),
            ("target_addr", address),
            ("target_ip", ip),
            ("target_port", port),
        ]
        if entry.get("dns"):
            labels += [("tls", "true"), ("client_id", str(entry["dns"]))]
        else:
            labels += [("tls", "no_identity"), ("no_tls_reason", "no_tls_from_remote")]
        labels += [
            ("srv_group", ""),
            ("srv_kind", "default"),
            ("srv_name", "all-unauthenticated"),
            ("srv_port", port),
        ]
        labels += [("route_group", ""), ("route_kind", "default"), ("route_name", "default")]
        return tuple(labels)


def _linkerd_route(entry: Mapping[str, Any]) -> Labels:
    service = str(entry.get("service") or "")
    name, _, rest = service.partition(".")
    _, port, _, backend = [*str(entry["cluster"]).split("|"), "", "", ""][:4]
    backend_name, _, backend_rest = backend.partition(".")
    owner_namespace, _, owner = str(entry.get("owner") or "").partition("/")
    route: Labels = (
        (("route_group", "gateway.networking.k8s.io"), ("route_kind", "HTTPRoute"))
        if owner
        else (("route_group", ""), ("route_kind", "default"))
    )
    return (
        ("parent_group", "core"),
        ("parent_kind", "Service"),
        ("parent_namespace", rest.partition(".")[0]),
        ("parent_name", name),
        ("parent_port", str(entry.get("authority") or "").partition(":")[2] or port),
        *route,
        ("route_namespace", owner_namespace),
        ("route_name", owner or "http"),
        ("backend_group", "core"),
        ("backend_kind", "Service"),
        ("backend_namespace", backend_rest.partition(".")[0]),
        ("backend_name", backend_name),
        ("backend_port", port),
    )


def _status(entry: Mapping[str, Any]) -> int | None:
    """The HTTP status, or None where no answer was given."""
    return int(entry["code"]) if entry.get("code") else None
