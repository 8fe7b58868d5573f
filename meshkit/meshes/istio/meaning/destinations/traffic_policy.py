"""Merge and translate Istio's trafficPolicies of a host, a port and a subset.

Defaults are those that istiod leaves to Envoy or writes (pilot/pkg/networking/core/cluster_traffic_policy).
A zero counts as not written, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from meshkit.meshes.istio.meaning.destinations.load_balancing import HASHED, balancing, hash_keys
from meshkit.meshes.istio.meaning.hosts import Host, HostPort
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.outbound import (
    Balancing,
    HashKey,
    Keepalive,
    Limits,
    Object,
    OriginTLS,
    Outlier,
)
from meshkit.meshes.model.translation import Translation

Json = Mapping[str, Any]
_BLOCKS = ("connectionPool", "outlierDetection", "loadBalancer", "tls")
_TOP = {*_BLOCKS, "portLevelSettings", "retryBudget"}
_TCP = {"maxConnections", "connectTimeout", "maxConnectionDuration", "idleTimeout", "tcpKeepalive"}
_HTTP = {
    *("http1MaxPendingRequests", "http2MaxRequests", "maxRetries", "maxRequestsPerConnection"),
    *("idleTimeout", "maxConcurrentStreams", "http2KeepAlive", "h2UpgradePolicy", "useClientProtocol"),
}
_OUTLIER = {
    *("consecutive5xxErrors", "consecutiveGatewayErrors", "interval", "baseEjectionTime"),
    *("maxEjectionPercent", "minHealthPercent", "splitExternalLocalOriginErrors"),
    "consecutiveLocalOriginFailures",
}
_TLS = {
    *("mode", "clientCertificate", "privateKey", "caCertificates", "subjectAltNames", "sni"),
    "insecureSkipVerify",
}


@dataclass(frozen=True)
class Policy:
    """A trafficPolicy, read. ``tls`` None leaves it to automatic mutual TLS.

    ``names`` are the only ones believed of a server under ISTIO_MUTUAL; empty leaves it to the host.
    ``locality`` is the loadBalancer.localityLbSetting that was written, None where none was.
    """

    balancing: Balancing = field(default_factory=Balancing)
    hash_keys: tuple[HashKey, ...] = ()
    limits: Limits = field(default_factory=Limits)
    protocol: Literal["http1", "http2", "client"] = "http1"
    outlier: Outlier | None = None
    tls: Literal["always", "never"] | OriginTLS | None = None
    names: tuple[str, ...] = ()
    locality: Json | None = None


def policy_of(
    base: Json,
    subset: Json | None,
    host: Host,
    port: HostPort,
    mesh: MeshConfig,
    notes: Translation,
    owner: Object | None,
) -> Policy:
    """The policy of one port of a subset: its blocks override the host's; a port's settings replace both."""
    joined = _joined(base, subset or {}, port.number, notes, owner)
    for block in ("connectionPool", "outlierDetection"):
        joined[block] = joined[block] or mesh.default_policy.get(block) or {}
    told = _Told(notes, owner)
    pool, balancer = joined["connectionPool"], joined["loadBalancer"]
    return Policy(
        balancing=balancing(balancer, told),
        hash_keys=hash_keys(balancer),
        limits=_limits(pool, joined["retryBudget"], mesh, told),
        protocol=_protocol(pool.get("http") or {}, port, mesh),
        outlier=_outlier(joined["outlierDetection"], told),
        tls=_tls(joined["tls"], host, told),
        names=tuple(_in_default_domain(each, mesh) for each in joined["tls"].get("subjectAltNames") or ()),
        locality=balancer.get("localityLbSetting"),
    )


@dataclass(frozen=True)
class _Told:
    """Records the fields of a rule that have no effect."""

    notes: Translation
    owner: Object | None

    def __call__(self, field_name: str, why: str = "is not supported by the sandbox.") -> None:
        if self.owner is not None:
            self.notes.ignore(self.owner, f"trafficPolicy.{field_name} {why}")

    def unknown(self, place: str, written: Json, known: set[str]) -> None:
        for name in sorted(set(written) - known):
            self(f"{place}{name}")


def _joined(base: Json, subset: Json, port: int, notes: Translation, owner: Object | None) -> dict[str, Json]:
    told = _Told(notes, owner)
    joined: dict[str, Json] = {block: base.get(block) or {} for block in (*_BLOCKS, "retryBudget")}
    for settings in (base, subset):
        told.unknown("", settings, _TOP)
        joined |= {block: settings[block] for block in (*_BLOCKS, "retryBudget") if settings.get(block)}
        for entry in settings.get("portLevelSettings") or ():
            if int((entry.get("port") or {}).get("number") or 0) == port:
                joined |= {block: entry.get(block) or {} for block in _BLOCKS}
    return joined


def _limits(pool: Json, budget: Json, mesh: MeshConfig, told: _Told) -> Limits:
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    told.unknown("connectionPool.tcp.", tcp, _TCP)
    told.unknown("connectionPool.http.", http, _HTTP)
    alive = tcp.get("tcpKeepalive") or mesh.tcp_keepalive
    ping = http.get("http2KeepAlive")
    share = budget.get("percent")
    return Limits(
        max_connections=tcp.get("maxConnections") or None,
        max_pending_requests=http.get("http1MaxPendingRequests") or None,
        max_requests=http.get("http2MaxRequests") or None,
        max_retries=http.get("maxRetries") or None,
        max_requests_per_connection=http.get("maxRequestsPerConnection") or None,
        max_concurrent_streams=http.get("maxConcurrentStreams") or None,
        max_connection_duration_s=duration_s(tcp.get("maxConnectionDuration")),
        idle_timeout_s=duration_s(http.get("idleTimeout") or tcp.get("idleTimeout")),
        connect_timeout_s=duration_s(tcp.get("connectTimeout")) or mesh.connect_timeout_s,
        keepalive=_keepalive(alive) if alive is not None else None,
        http2_ping=_ping(ping) if ping else None,
        retry_budget=(
            (20.0 if share is None else float(share), int(budget.get("minRetryConcurrency") or 3))
            if budget
            else None
        ),
    )


def _keepalive(written: Json) -> Keepalive:
    time_s, interval_s = duration_s(written.get("time")), duration_s(written.get("interval"))
    return Keepalive(
        probes=written.get("probes") or None,
        time_s=int(time_s) if time_s else None,
        interval_s=int(interval_s) if interval_s else None,
    )


def _ping(written: Json) -> tuple[float, float] | None:
    interval_s, timeout_s = duration_s(written.get("interval")), duration_s(written.get("timeout"))
    return (interval_s, timeout_s) if interval_s and timeout_s else None


def _protocol(http: Json, port: HostPort, mesh: MeshConfig) -> Literal["http1", "http2", "client"]:
    if http.get("useClientProtocol"):
        return "client"
    wanted = http.get("h2UpgradePolicy", "DEFAULT")
    if port.is_http2 or wanted == "UPGRADE":
        return "http2"
    return "http2" if wanted == "DEFAULT" and mesh.http2 and port.protocol == "http" else "http1"


def _outlier(written: Json, told: _Told) -> Outlier | None:
    if not written:
        return None
    told.unknown("outlierDetection.", written, _OUTLIER)
    split = bool(written.get("splitExternalLocalOriginErrors"))
    return Outlier(
        consecutive_5xx=int(written.get("consecutive5xxErrors", 5)) or None,
        consecutive_gateway=int(written.get("consecutiveGatewayErrors", 0)) or None,
        interval_s=duration_s(written.get("interval")) or 10.0,
        base_ejection_s=duration_s(written.get("baseEjectionTime")) or 30.0,
        max_ejection_percent=int(written.get("maxEjectionPercent") or 10),
        min_health_percent=int(written.get("minHealthPercent") or 0),
        split_local_origin=split,
        consecutive_local_origin=int(written.get("consecutiveLocalOriginFailures") or 0) or None,
    )


def _tls(written: Json, host: Host, told: _Told) -> Literal["always", "never"] | OriginTLS | None:
    mode = written.get("mode", "DISABLE") if written else None
    if mode in (None, "DISABLE"):
        return "never" if mode else None
    told.unknown("tls.", written, _TLS)
    if mode == "ISTIO_MUTUAL":
        return "always"
    files = written.get("clientCertificate") and written.get("privateKey")
    if mode == "MUTUAL" and not (files or written.get("credentialName")):
        told("tls.mode: MUTUAL", "needs clientCertificate and privateKey as files; without, none is shown.")
    mutual = mode == "MUTUAL"
    return OriginTLS(
        sni=written.get("sni") or (host.name if host.external else ""),
        roots=written.get("caCertificates") or "",
        certificate=(written.get("clientCertificate") or "") if mutual else "",
        key=(written.get("privateKey") or "") if mutual else "",
        server_names=tuple(written.get("subjectAltNames") or host.identities if host.external else ()),
        verify=not written.get("insecureSkipVerify"),
    )


def _in_default_domain(name: str, mesh: MeshConfig) -> str:
    """A name of a server with the trust domain that identities have here, if it has the mesh's own."""
    own = f"spiffe://{mesh.trust_domain}/"
    return f"spiffe://{CLUSTER_DOMAIN}/{name.removeprefix(own)}" if name.startswith(own) else name


def consistent_hash(policy: Policy) -> bool:
    """Whether a policy selects endpoints by consistent hash."""
    return policy.balancing.policy in HASHED
