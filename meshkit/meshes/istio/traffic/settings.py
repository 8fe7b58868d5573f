"""Write the settings of Routes and DestinationPolicies as the blocks of a trafficPolicy."""

from __future__ import annotations

from typing import Any

from meshkit.intent.balancing import ConnectionLimits, LoadBalancing, OutlierDetection
from meshkit.intent.destination import DestinationPolicy, TLSOrigination
from meshkit.intent.traffic import Route
from meshkit.meshes.gateway_api.durations import duration
from meshkit.meshes.istio.traffic.rules import given
from meshkit.meshes.routing.capabilities import Limits

Json = dict[str, Any]
FIELDS = {
    "loadBalancer": "load_balancing",
    "connectionPool": "connection_limits",
    "outlierDetection": "outlier_detection",
    "tls": "tls",
}
"""The blocks of a trafficPolicy, and the fields of an intent that they are written from."""
LIMITS: Limits = {
    "outlier_detection.max_ejection_s": "Leave it out: Istio's proxies end an ejection after 300 s, or after "
    "base_ejection_s if that is longer.",
}
"""The fields that DestinationRules cannot carry out, each with what they can do instead."""
_NO_FAILOVER = {"enabled": False}


def blocks(intent: Route | DestinationPolicy) -> Json:
    """The blocks of a trafficPolicy that an intent asks for."""
    tls = intent.tls if isinstance(intent, DestinationPolicy) else None
    written = {
        "loadBalancer": intent.load_balancing and _load_balancer(intent.load_balancing),
        "connectionPool": intent.connection_limits and _connection_pool(intent.connection_limits),
        "outlierDetection": intent.outlier_detection and _outlier_detection(intent.outlier_detection),
        "tls": tls and _tls(tls),
    }
    return {name: block for name, block in written.items() if block}


def completed(written: Json) -> Json:
    """The blocks as they are applied together.

    Outlier detection would also enable locality failover, which no intent asks for unless it says so.
    """
    balancer = written.get("loadBalancer", {})
    if "outlierDetection" not in written or "localityLbSetting" in balancer:
        return written
    return {**written, "loadBalancer": {**balancer, "localityLbSetting": _NO_FAILOVER}}


def asked(applied: Json) -> Json:
    """The blocks without what ``completed`` added."""
    balancer = applied.get("loadBalancer") or {}
    if balancer.get("localityLbSetting") != _NO_FAILOVER:
        return applied
    left = {key: value for key, value in balancer.items() if key != "localityLbSetting"}
    others = {name: block for name, block in applied.items() if name != "loadBalancer"}
    return {**others, "loadBalancer": left} if left else others


def _load_balancer(wanted: LoadBalancing) -> Json:
    cookie = wanted.hash_cookie
    hashed = {
        "httpHeaderName": wanted.hash_header,
        "httpQueryParameterName": wanted.hash_query,
        "useSourceIp": wanted.hash_source,
        "httpCookie": cookie
        and given(
            {
                "name": cookie.name,
                "path": cookie.path,
                "ttl": None if cookie.ttl_s is None else duration(cookie.ttl_s),
            }
        ),
    }
    locality = {
        "enabled": True,
        "failover": [{"from": here, "to": there} for here, there in wanted.failover.items()] or None,
        "distribute": [{"from": here, "to": dict(shares)} for here, shares in wanted.distribute.items()]
        or None,
    }
    return given(
        {
            "simple": wanted.algorithm and wanted.algorithm.upper(),
            "consistentHash": given(hashed) or None,
            "warmup": wanted.warm_up_s and {"duration": duration(wanted.warm_up_s)},
            "localityLbSetting": given(locality) if wanted.failover or wanted.distribute else None,
        }
    )


def _connection_pool(limits: ConnectionLimits) -> Json:
    alive = limits.keepalive
    tcp = {
        "maxConnections": limits.max_connections,
        "connectTimeout": limits.connect_timeout_s and duration(limits.connect_timeout_s),
        "tcpKeepalive": alive
        and given(
            {
                "probes": alive.probes,
                "time": alive.time_s and duration(alive.time_s),
                "interval": alive.interval_s and duration(alive.interval_s),
            }
        ),
    }
    http = {
        "http1MaxPendingRequests": limits.max_pending_requests,
        "http2MaxRequests": limits.max_requests,
        "maxRequestsPerConnection": limits.max_requests_per_connection,
        "maxRetries": limits.max_retries,
        "idleTimeout": limits.idle_timeout_s and duration(limits.idle_timeout_s),
        "h2UpgradePolicy": "UPGRADE" if limits.http2 else None,
    }
    pool = {"tcp": given(tcp), "http": given(http)}
    return {key: value for key, value in pool.items() if value}


def _outlier_detection(outlier: OutlierDetection) -> Json:
    least, local = outlier.min_healthy_percent, outlier.consecutive_local_failures
    return given(
        {
            "consecutive5xxErrors": outlier.consecutive_5xx,
            "consecutiveGatewayErrors": outlier.consecutive_gateway_errors,
            "splitExternalLocalOriginErrors": True if local else None,
            "consecutiveLocalOriginFailures": local,
            "interval": duration(outlier.interval_s),
            "baseEjectionTime": duration(outlier.base_ejection_s),
            "maxEjectionPercent": int(outlier.max_ejection_percent),
            "minHealthPercent": None if least is None else int(least),
        }
    )


def _tls(wanted: TLSOrigination) -> Json:
    return given(
        {
            "mode": wanted.mode.upper(),
            "credentialName": wanted.secret,
            "sni": wanted.sni,
            "subjectAltNames": list(wanted.server_names) or None,
        }
    )
