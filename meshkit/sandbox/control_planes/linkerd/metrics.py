"""Computes Linkerd's metrics with the labels of its proxy.

There are series for each endpoint, for classified responses and for routes to backends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.meshes.linkerd.meaning.authorization import NOT_FOUND
from meshkit.meshes.linkerd.meaning.proxy import identity
from meshkit.meshes.model.grpc import STATUSES
from meshkit.meshes.model.pods import Peer
from meshkit.sandbox.dataplane.exposition import Family, Labels, PeerLookup

BUCKETS_MS = tuple(float(digit * 10**power) for power in range(5) for digit in (1, 2, 3, 4, 5))
"""The bounds 1 2 3 4 5 10 20 ... 50000 (linkerd2-proxy, metrics/src/latency.rs)."""
UNKNOWN = "UNKNOWN"
_GRPC_FAILURES = {2, 4, 7, 13, 14, 15}
_GRPC_ROUTE = "GRPCRoute"


class LinkerdSeries:
    """Counts requests like Linkerd's proxy."""

    families = (
        Family("request_total", "counter", "Total count of HTTP requests."),
        Family("response_total", "counter", "Total count of HTTP responses."),
        *(
            Family(f"outbound_{protocol}_route_backend_{name}_total", "counter", text)
            for protocol in ("http", "grpc")
            for name, text in (
                ("requests", "The total number of requests dispatched."),
                ("response_statuses", "Completed responses by status."),
            )
        ),
        Family("inbound_http_authz_allow_total", "counter", "Inbound HTTP requests that were authorized."),
        Family("inbound_http_authz_deny_total", "counter", "Inbound HTTP requests that were not authorized."),
        Family("inbound_http_route_not_found_total", "counter", "Inbound HTTP requests that no route takes."),
        Family("inbound_tcp_authz_allow_total", "counter", "Inbound TCP connections that were authorized."),
        Family("inbound_tcp_authz_deny_total", "counter", "Inbound TCP connections that were refused."),
    )
    histogram = Family(
        "response_latency_ms", "histogram", "Elapsed times between a request and its response."
    )

    zeros = ()

    def __init__(self, me: Peer, peers: PeerLookup) -> None:
        self._me = me
        self._peers = peers

    def counters(self, entry: Mapping[str, Any]) -> Iterable[tuple[str, Labels]]:
        """Return the counters that a request increments."""
        if entry["dir"] == "refused":
            return []
        if entry.get("protocol") == "tcp":
            return self._connection(entry)
        if entry["dir"] == "inbound":
            refusal = _refusal(entry)
            if refusal is not None:
                return [self._refused(entry, refusal)]
            return [self._allowed(entry), *self._answered(entry)]
        return [*self._answered(entry), *self._routed(entry)]

    def _connection(self, entry: Mapping[str, Any]) -> list[tuple[str, Labels]]:
        """Return the counter of a connection to an opaque port; callers count none."""
        if entry["dir"] == "outbound":
            return []
        refused = str(entry.get("details") or "").startswith("rbac_access_denied")
        target = _target(entry)
        labels = (*target, *_server(entry, target), *_inbound_tls(entry))
        return [(f"inbound_tcp_authz_{'deny' if refused else 'allow'}_total", labels)]

    def _answered(self, entry: Mapping[str, Any]) -> list[tuple[str, Labels]]:
        base = self._base(entry)
        return [("request_total", base), ("response_total", (*base, *_outcome(entry)))]

    def _allowed(self, entry: Mapping[str, Any]) -> tuple[str, Labels]:
        target, tls = _target(entry), _inbound_tls(entry)
        labels = (*target, *_server(entry, target), *_route(entry), *_authorization(entry), *tls)
        return "inbound_http_authz_allow_total", labels

    def _refused(self, entry: Mapping[str, Any], family: str) -> tuple[str, Labels]:
        """Return the counter of a refused request.

        It is in no other family, because Linkerd counts requests only after its policy allows them.
        """
        target, tls = _target(entry), _inbound_tls(entry)
        route = () if family.endswith("route_not_found_total") else _route(entry)
        return family, (*target, *_server(entry, target), *route, *tls)

    def _routed(self, entry: Mapping[str, Any]) -> list[tuple[str, Labels]]:
        counted: list[tuple[str, Labels]] = []
        status = _status(entry)
        if entry.get("cluster"):
            route = _linkerd_route(entry)
            error = () if status is not None else (("error", UNKNOWN),)
            told: Labels = (("http_status", "" if status is None else str(status)),)
            of_backend = "outbound_http_route_backend"
            if _kind(entry) == _GRPC_ROUTE:
                told = (("grpc_status", _status_name(entry.get("grpc"))),)
                of_backend = "outbound_grpc_route_backend"
            counted.append((f"{of_backend}_requests_total", route))
            statuses = (*route, *told, *(error or (("error", ""),)))
            counted.append((f"{of_backend}_response_statuses_total", statuses))
        return counted

    def latency(self, entry: Mapping[str, Any]) -> Labels | None:
        """Return the labels of the response's latency, or None for a connection without a request."""
        if entry.get("protocol") == "tcp":
            return None
        if entry["dir"] == "refused" or (entry["dir"] == "inbound" and _refusal(entry) is not None):
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
                ("server_id", identity(peer.namespace, peer.service_account)),
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
        target = _target(entry)
        policy = (*_server(entry, target), *_route(entry), *_authorization(entry))
        return (("direction", "inbound"), *target, *_inbound_tls(entry), *policy)


def _target(entry: Mapping[str, Any]) -> Labels:
    address = str(entry.get("local") or "")
    ip, _, port = address.partition(":")
    return (("target_addr", address), ("target_ip", ip), ("target_port", port))


def _inbound_tls(entry: Mapping[str, Any]) -> Labels:
    if entry.get("dns"):
        return (("tls", "true"), ("client_id", str(entry["dns"])))
    return (("tls", "no_identity"), ("no_tls_reason", "no_tls_from_remote"))


def _server(entry: Mapping[str, Any], target: Labels) -> Labels:
    named = _resource("srv", entry.get("server") or "/default/all-unauthenticated")
    return (*named, ("srv_port", target[-1][1]))


def _route(entry: Mapping[str, Any]) -> Labels:
    return _resource("route", entry.get("route") or "/default/default")


def _authorization(entry: Mapping[str, Any]) -> Labels:
    """Return the policy that allowed the request, without the rule number that Envoy appends."""
    name = str(entry.get("policy") or "/default/all-unauthenticated")
    return _resource("authz", name.partition("#")[0])


def _resource(prefix: str, written: str) -> Labels:
    """Split ``group/kind/name`` into three labels."""
    group, kind, name = [*written.split("/", 2), "", ""][:3]
    return ((f"{prefix}_group", group), (f"{prefix}_kind", kind), (f"{prefix}_name", name))


def _refusal(entry: Mapping[str, Any]) -> str | None:
    """Return the family that counts a refused request, or None if the request was allowed."""
    if str(entry.get("details") or "").startswith("rbac_access_denied"):
        return "inbound_http_authz_deny_total"
    return "inbound_http_route_not_found_total" if entry.get("route") == NOT_FOUND else None


def _outcome(entry: Mapping[str, Any]) -> Labels:
    """Classify a response: 5xx, no response and some gRPC statuses are failures, as in Linkerd."""
    status, grpc = _status(entry), entry.get("grpc")
    failed = status is None or status >= 500 or grpc in _GRPC_FAILURES
    labels: Labels = (("status_code", str(status)),) if status is not None else ()
    labels += (("classification", "failure" if failed else "success"),)
    return labels if grpc is None else (*labels, ("grpc_status", str(grpc)))


def _linkerd_route(entry: Mapping[str, Any]) -> Labels:
    service = str(entry.get("service") or "")
    name, _, rest = service.partition(".")
    _, port, _, backend = [*str(entry["cluster"]).split("|"), "", "", ""][:4]
    backend_name, _, backend_rest = backend.partition(".")
    owner_namespace, _, owner = str(entry.get("owner") or "").partition("/")
    route: Labels = (
        (("route_group", "gateway.networking.k8s.io"), ("route_kind", _kind(entry)))
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


def _status_name(number: object) -> str:
    """The name of a status of gRPC; empty without one."""
    return STATUSES[number] if isinstance(number, int) and 0 <= number < len(STATUSES) else ""


def _kind(entry: Mapping[str, Any]) -> str:
    return _GRPC_ROUTE if entry.get("kind") == _GRPC_ROUTE else "HTTPRoute"


def _status(entry: Mapping[str, Any]) -> int | None:
    """Return the HTTP status, or None without a response."""
    return int(entry["code"]) if entry.get("code") else None
