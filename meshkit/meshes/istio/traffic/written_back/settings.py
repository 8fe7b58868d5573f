"""Read the settings of a Route back from the blocks of a trafficPolicy that ``settings.blocks`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.routing.written import Fields, filled

Json = Mapping[str, Any]


def fields_of(blocks: Json) -> Fields:
    """The fields of a Route that asks for these blocks."""
    return filled(
        {
            "load_balancing": _load_balancing(blocks.get("loadBalancer") or {}),
            "connection_limits": _connection_limits(blocks.get("connectionPool") or {}),
            "outlier_detection": _outlier_detection(blocks.get("outlierDetection") or {}),
        }
    )


def _load_balancing(written: Json) -> Fields:
    hashed = written.get("consistentHash") or {}
    cookie = hashed.get("httpCookie")
    locality = written.get("localityLbSetting") or {}
    return filled(
        {
            "algorithm": written["simple"].lower() if "simple" in written else None,
            "hash_header": hashed.get("httpHeaderName"),
            "hash_query": hashed.get("httpQueryParameterName"),
            "hash_source": hashed.get("useSourceIp"),
            "hash_cookie": cookie
            and filled(
                {"name": cookie["name"], "path": cookie.get("path"), "ttl_s": duration_s(cookie.get("ttl"))}
            ),
            "warm_up_s": duration_s((written.get("warmup") or {}).get("duration")),
            "failover": {each["from"]: each["to"] for each in locality.get("failover") or ()},
            "distribute": {each["from"]: each["to"] for each in locality.get("distribute") or ()},
        }
    )


def _connection_limits(written: Json) -> Fields:
    tcp, http = written.get("tcp") or {}, written.get("http") or {}
    alive = tcp.get("tcpKeepalive") or {}
    return filled(
        {
            "max_connections": tcp.get("maxConnections"),
            "connect_timeout_s": duration_s(tcp.get("connectTimeout")),
            "keepalive": filled(
                {
                    "probes": alive.get("probes"),
                    "time_s": _whole_s(alive.get("time")),
                    "interval_s": _whole_s(alive.get("interval")),
                }
            ),
            "max_pending_requests": http.get("http1MaxPendingRequests"),
            "max_requests": http.get("http2MaxRequests"),
            "max_requests_per_connection": http.get("maxRequestsPerConnection"),
            "max_retries": http.get("maxRetries"),
            "idle_timeout_s": duration_s(http.get("idleTimeout")),
            "http2": True if http.get("h2UpgradePolicy") == "UPGRADE" else None,
        }
    )


def _outlier_detection(written: Json) -> Fields:
    return filled(
        {
            "consecutive_5xx": written.get("consecutive5xxErrors"),
            "consecutive_gateway_errors": written.get("consecutiveGatewayErrors"),
            "consecutive_local_failures": written.get("consecutiveLocalOriginFailures"),
            "interval_s": duration_s(written.get("interval")),
            "base_ejection_s": duration_s(written.get("baseEjectionTime")),
            "max_ejection_percent": written.get("maxEjectionPercent"),
            "min_healthy_percent": written.get("minHealthPercent"),
        }
    )


def _whole_s(text: str | None) -> int | None:
    seconds = duration_s(text)
    return None if seconds is None else int(seconds)
