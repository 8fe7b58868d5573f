"""Istio's trafficPolicy: how the policies of a host, a port and a subset join into one, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from meshkit.sandbox.proxies.model import HashKey, Limits, LoadBalancer, Object, Outlier
from meshkit.sandbox.proxies.quantities import duration_s
from meshkit.sandbox.proxies.translation import Translation

_BLOCKS = ("connectionPool", "outlierDetection", "loadBalancer", "tls")
_TCP = {"maxConnections", "connectTimeout"}
_HTTP = {"http1MaxPendingRequests", "http2MaxRequests", "maxRetries", "maxRequestsPerConnection"}
_OUTLIER = {
    *(
        "consecutive5xxErrors",
        "consecutiveGatewayErrors",
        "interval",
        "baseEjectionTime",
        "maxEjectionPercent",
    ),
    "minHealthPercent",
}
_SIMPLE: Mapping[str, LoadBalancer] = {
    "UNSPECIFIED": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
}


@dataclass(frozen=True)
class Policy:
    """A trafficPolicy, read. ``tls`` None leaves it to automatic mutual TLS."""

    load_balancer: LoadBalancer = "LEAST_REQUEST"
    hash_keys: tuple[HashKey, ...] = ()
    limits: Limits = field(default_factory=Limits)
    outlier: Outlier | None = None
    tls: Literal["always", "never"] | None = None


def policy_of(
    base: Mapping[str, Any],
    subset: Mapping[str, Any] | None,
    port: int,
    notes: Translation,
    owner: Object | None,
) -> Policy:
    """The policy of one port of a subset: its blocks override the host's; a port's settings replace both."""
    if owner is None:
        return Policy()
    joined = {block: (subset or {}).get(block) or base.get(block) or {} for block in _BLOCKS}
    for settings in (base, subset or {}):
        for entry in settings.get("portLevelSettings") or ():
            if int((entry.get("port") or {}).get("number") or 0) == port:
                joined = {block: entry.get(block) or {} for block in _BLOCKS}
        for unknown in sorted(set(settings) - {*_BLOCKS, "portLevelSettings"}):
            notes.ignore(owner, f"trafficPolicy.{unknown} is not carried out by the sandbox.")
    balancer, keys = _load_balancer(joined["loadBalancer"], notes, owner)
    return Policy(
        load_balancer=balancer,
        hash_keys=keys,
        limits=_limits(joined["connectionPool"], notes, owner),
        outlier=_outlier(joined["outlierDetection"], notes, owner),
        tls=_tls(joined["tls"], notes, owner),
    )


def _load_balancer(
    written: Mapping[str, Any], notes: Translation, owner: Object
) -> tuple[LoadBalancer, tuple[HashKey, ...]]:
    for name in ("warmup", "warmupDurationSecs", "localityLbSetting", "zoneAwareLbSetting"):
        if written.get(name) and (written[name] != {"enabled": False}):
            notes.ignore(owner, f"trafficPolicy.loadBalancer.{name} is not carried out by the sandbox.")
    hashed = written.get("consistentHash")
    if hashed:
        if hashed.get("httpHeaderName"):
            return "RING_HASH", (HashKey("header", hashed["httpHeaderName"]),)
        if hashed.get("httpQueryParameterName"):
            return "RING_HASH", (HashKey("query", hashed["httpQueryParameterName"]),)
        if hashed.get("useSourceIp"):
            return "RING_HASH", (HashKey("address"),)
        notes.ignore(
            owner, "trafficPolicy.loadBalancer.consistentHash.httpCookie is not carried out by the sandbox."
        )
        return "LEAST_REQUEST", ()
    simple = written.get("simple") or "UNSPECIFIED"
    if simple not in _SIMPLE:
        notes.ignore(owner, f"trafficPolicy.loadBalancer.simple: {simple} is not carried out by the sandbox.")
    return _SIMPLE.get(simple, "LEAST_REQUEST"), ()


def _limits(written: Mapping[str, Any], notes: Translation, owner: Object) -> Limits:
    tcp, http = written.get("tcp") or {}, written.get("http") or {}
    for block, fields, known in (("tcp", tcp, _TCP), ("http", http, _HTTP)):
        for unknown in sorted(set(fields) - known):
            notes.ignore(
                owner, f"trafficPolicy.connectionPool.{block}.{unknown} is not carried out by the sandbox."
            )
    return Limits(
        max_connections=tcp.get("maxConnections"),
        max_pending_requests=http.get("http1MaxPendingRequests"),
        max_requests=http.get("http2MaxRequests"),
        max_retries=http.get("maxRetries"),
        max_requests_per_connection=http.get("maxRequestsPerConnection"),
        connect_timeout_s=duration_s(tcp.get("connectTimeout")) or 10.0,
    )


def _outlier(written: Mapping[str, Any], notes: Translation, owner: Object) -> Outlier | None:
    if not written:
        return None
    for unknown in sorted(set(written) - _OUTLIER):
        notes.ignore(owner, f"trafficPolicy.outlierDetection.{unknown} is not carried out by the sandbox.")
    return Outlier(
        consecutive_5xx=int(written.get("consecutive5xxErrors", 5)) or None,
        consecutive_gateway=int(written.get("consecutiveGatewayErrors", 0)) or None,
        interval_s=duration_s(written.get("interval")) or 10.0,
        base_ejection_s=duration_s(written.get("baseEjectionTime")) or 30.0,
        max_ejection_percent=int(written.get("maxEjectionPercent") or 10),
        min_health_percent=int(written.get("minHealthPercent") or 0),
    )


def _tls(written: Mapping[str, Any], notes: Translation, owner: Object) -> Literal["always", "never"] | None:
    mode = written.get("mode")
    if mode in ("SIMPLE", "MUTUAL"):
        notes.ignore(owner, f"trafficPolicy.tls.mode: {mode} is not carried out by the sandbox.")
    return {"DISABLE": "never", "ISTIO_MUTUAL": "always"}.get(str(mode))  # type: ignore[return-value]
