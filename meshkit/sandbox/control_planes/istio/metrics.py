"""Computes Istio's metrics with the labels of its stats filter.

There is one series for each reporter, pair of workloads, response code and response flag. A refused plaintext
connection reaches no filter, so only Envoy counts it, in a statistic of its listener.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.meshes.istio.meaning.proxy import identity
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Peer
from meshkit.sandbox.control_planes.istio.listener_stats import ADDRESS
from meshkit.sandbox.dataplane.exposition import Family, Labels, PeerLookup
from meshkit.sandbox.dataplane.metrics import is_connection

BUCKETS_MS = (
    *(
        0.5,
        1.0,
        5.0,
        10.0,
        25.0,
        50.0,
        100.0,
        250.0,
        500.0,
        1000.0,
        2500.0,
        5000.0,
        10000.0,
        30000.0,
        60000.0,
    ),
    *(300000.0, 600000.0, 1800000.0, 3600000.0),
)
BUCKETS_ANNOTATION = "sidecar.istio.io/statsHistogramBuckets"
UNKNOWN = "unknown"
_OF_REQUESTS = ("response_code", "grpc_response_status")
_UNMATCHED = "envoy_listener_no_filter_chain_match"
_REFUSED: tuple[str, Labels] = (_UNMATCHED, (("listener_address", ADDRESS),))
_NOWHERE = ("PassthroughCluster", "BlackHoleCluster")


class IstioSeries:
    """Counts requests like Istio's stats filter; with ``listeners``, refused connections like Envoy."""

    always = (
        Family("istio_requests_total", "counter", "requests total"),
        Family("istio_tcp_connections_opened_total", "counter", "tcp connections opened total"),
        Family("istio_tcp_connections_closed_total", "counter", "tcp connections closed total"),
        Family(_UNMATCHED, "counter", "connections that match no filter chain"),
    )
    histogram = Family("istio_request_duration_milliseconds", "histogram", "request duration in milliseconds")

    def __init__(self, me: Peer, peers: PeerLookup, *, listeners: bool = False) -> None:
        self._me = me
        self._peers = peers
        self.zeros = (_REFUSED,) if listeners else ()
        self._cache: dict[tuple[Any, ...], Labels] = {}
        self._of_ports: dict[str, Family] = {}

    @property
    def families(self) -> tuple[Family, ...]:
        """The metric families, with one for the access rules of each port that has any."""
        return (*self.always, *self._of_ports.values())

    def counters(self, entry: Mapping[str, Any]) -> Iterable[tuple[str, Labels]]:
        """Return the counters that a request or a refused connection increments."""
        if entry["dir"] == "refused":
            return self.zeros
        if entry.get("protocol") == "tcp":
            labels = tuple(pair for pair in self._request(entry) if pair[0] not in _OF_REQUESTS)
            events = ("opened", "closed") if is_connection(entry) else ()
            return [(f"istio_tcp_connections_{event}_total", labels) for event in events]
        return [("istio_requests_total", self._request(entry)), *self._decided(entry)]

    def _decided(self, entry: Mapping[str, Any]) -> Iterable[tuple[str, Labels]]:
        """Return Envoy's counters of access rules; their name has the address of the port's listener."""
        for labels in _decisions(entry):
            port = str(entry.get("local") or "").rpartition(":")[2]
            name = f"envoy_http_inbound_0_0_0_0_{port}_rbac"
            self._of_ports.setdefault(name, Family(name, "counter", "decisions of access rules"))
            yield name, labels

    def latency(self, entry: Mapping[str, Any]) -> Labels | None:
        """Return the labels of the request's duration, or None for a connection without a request."""
        of_connection = entry["dir"] == "refused" or entry.get("protocol") == "tcp"
        return None if of_connection else self._request(entry)

    def _request(self, entry: Mapping[str, Any]) -> Labels:
        outbound = entry["dir"] == "outbound"
        other_address = str(entry.get("upstream") or "") if outbound else str(entry.get("remote") or "")
        secured = bool(entry.get("uri"))
        service, asked = _chosen(entry, outbound), str(entry.get("authority") or "")
        asked = asked if service in ("", *_NOWHERE) else ""
        other = self._peers(other_address) if other_address and (outbound or secured) else None
        code, flags, grpc = entry.get("code", 0), entry.get("flags"), entry.get("grpc")
        key = (
            outbound,
            other and other.pod,
            service,
            asked,
            code,
            flags,
            secured,
            entry.get("uptls") is not None,
            grpc,
            entry.get("protocol"),
        )
        if key not in self._cache:
            self._cache[key] = self._build(entry, outbound, other, (service, asked))
        return self._cache[key]

    def _build(
        self, entry: Mapping[str, Any], outbound: bool, other: Peer | None, requested: tuple[str, str]
    ) -> Labels:
        source, destination = (self._me, other) if outbound else (other, self._me)
        secured = bool(entry.get("uptls")) if outbound else bool(entry.get("uri"))
        host, name, namespace = _destination(*requested, destination)
        grpc = entry.get("grpc")
        labels = [("reporter", "source" if outbound else "destination")]
        labels += _istio_side("source", source, secured)
        labels += _istio_side("destination", destination, secured)
        labels += [
            ("destination_service", host),
            ("destination_service_name", name),
            ("destination_service_namespace", namespace),
            ("request_protocol", str(entry.get("protocol") or ("http" if grpc is None else "grpc"))),
            ("response_code", str(entry.get("code", 0))),
            ("grpc_response_status", "" if grpc is None else str(grpc)),
            ("response_flags", str(entry.get("flags") or "-")),
            ("connection_security_policy", UNKNOWN if outbound else "mutual_tls" if secured else "none"),
        ]
        return tuple(labels)


def _decisions(entry: Mapping[str, Any]) -> Iterable[Labels]:
    """Return what access rules decided about a request, and what those on trial would have decided."""
    if entry["dir"] != "inbound":
        return
    refused = str(entry.get("details") or "").startswith("rbac_access_denied")
    if refused or entry.get("policy"):
        yield (("authz_enforce_result", "denied" if refused else "allowed"),)
    for action in ("deny", "allow"):
        if result := entry.get(f"shadow_{action}"):
            yield (("authz_dry_run_action", action), ("authz_dry_run_result", str(result)))


def _chosen(entry: Mapping[str, Any], outbound: bool) -> str:
    """Return the host of a request: of a Service, the one that the route chose."""
    service, chosen = str(entry.get("service") or ""), str(entry.get("cluster") or "").rpartition("|")[2]
    both = all(host.endswith(".svc.cluster.local") for host in (service, chosen))
    return chosen if outbound and both else service


def _istio_side(side: str, peer: Peer | None, secured: bool) -> list[tuple[str, str]]:
    labels = peer.labels if peer else {}
    app = labels.get("app") or labels.get("app.kubernetes.io/name")
    version = labels.get("version") or labels.get("app.kubernetes.io/version")
    principal = identity(peer.namespace, peer.service_account) if peer and secured else None
    values = {
        "workload": peer and peer.workload,
        "workload_namespace": peer and peer.namespace,
        "principal": principal,
        "app": app,
        "version": version,
        "canonical_service": peer and (labels.get("service.istio.io/canonical-name") or app or peer.workload),
        "canonical_revision": peer
        and (labels.get("service.istio.io/canonical-revision") or version or "latest"),
        "cluster": peer and "Kubernetes",
    }
    return [(f"{side}_{name}", value or UNKNOWN) for name, value in values.items()]


def _destination(registered: str, authority: str, destination: Peer | None) -> tuple[str, str, str]:
    """Return destination_service, its name and its namespace.

    A host that is not a Service keeps its full name. An unregistered host has the name of the cluster that
    received the request.
    """
    namespace = destination.namespace if destination else UNKNOWN
    if registered in _NOWHERE:
        return authority or UNKNOWN, registered, namespace
    if registered and not registered.endswith(".svc.cluster.local"):
        return registered, registered, namespace
    return _service(registered or authority, destination)


def _service(host: str, destination: Peer | None) -> tuple[str, str, str]:
    """Return destination_service, its name and its namespace from a host name, full or as requested."""
    name, _, rest = host.partition(":")[0].partition(".")
    if host.endswith(".svc.cluster.local"):
        return host, name, rest.partition(".")[0]
    namespace = rest.partition(".")[0] or (destination.namespace if destination else "")
    if not name or not namespace or name.isdigit():
        return UNKNOWN, UNKNOWN, namespace or UNKNOWN
    return f"{name}.{namespace}.svc.cluster.local", name, namespace


def buckets_ms(pod: Object) -> tuple[float, ...]:
    """Return the latency buckets of the pod's annotation, or Istio's default.

    The annotation maps a prefix of the metric's name to bounds.
    """
    raw = (pod["metadata"].get("annotations") or {}).get(BUCKETS_ANNOTATION)
    try:
        chosen = json.loads(raw) if raw else {}
        for prefix, bounds in chosen.items():
            if "istio_request_duration_milliseconds".startswith(prefix) or prefix == "istiocustom":
                return tuple(sorted(float(bound) for bound in bounds))
    except (ValueError, TypeError, AttributeError):
        pass
    return BUCKETS_MS
