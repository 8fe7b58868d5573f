"""Renders the CDS and EDS resources: clusters and their endpoints.

Endpoints are separate documents, so that a change of pods does not replace the cluster: Envoy then keeps the
ejections, the slow start state and the connections of the other endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshkit.meshes.model.outbound import (
    Balancing,
    Cluster,
    Endpoint,
    Keepalive,
    Limits,
    Locality,
    Outlier,
)
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.pod_directory import app_socket
from meshkit.sandbox.dataplane.render.style import ProxyStyle
from meshkit.sandbox.dataplane.render.tls import cluster_tls
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE, seconds, socket

_UNLIMITED = 4294967295
_RING_SIZE = 1024  # This is Envoy's default, which Istio also writes.


def outbound_clusters(model: Iterable[Cluster], style: ProxyStyle) -> list[JSON]:
    """Render the CDS resources of all outbound clusters."""
    return [_cluster(item, style) for item in model]


def assignments(model: Iterable[Cluster]) -> list[JSON]:
    """Render the EDS resources of all outbound clusters."""
    return [_assignment(item) for item in model if not item.as_asked]


def app_clusters(ports: Iterable[int], pod_dir: Path) -> list[JSON]:
    """Render the CDS resources of the pod's application, on sockets that only the proxy's user can open."""
    return [
        {
            "@type": TYPE + "config.cluster.v3.Cluster",
            "name": app_cluster(port),
            "type": "STATIC",
            "connect_timeout": "10s",
            "circuit_breakers": _breakers(Limits()),
            "load_assignment": {
                "cluster_name": app_cluster(port),
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {"endpoint": {"address": {"pipe": {"path": app_socket(pod_dir, port)}}}}
                        ]
                    }
                ],
            },
        }
        for port in ports
    ]


def app_cluster(port: int) -> str:
    """Return the cluster name of the pod's application on a port, in Istio's format."""
    return f"inbound|{port}||"


def _assignment(model: Cluster) -> JSON:
    """Render a cluster's endpoints by priority and locality, in a deterministic order."""
    groups: dict[tuple[int, Locality], list[Endpoint]] = {}
    for item in sorted(model.endpoints, key=lambda item: (item.address, item.port)):
        groups.setdefault((item.priority, item.locality), []).append(item)
    weights = dict(model.balancing.locality_weights)
    return {
        "@type": TYPE + "config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": model.name,
        "endpoints": [
            {
                "priority": priority,
                "locality": _locality(locality),
                "load_balancing_weight": weights.get(locality, sum(item.weight for item in members)),
                "lb_endpoints": [_endpoint(item) for item in members],
            }
            for (priority, locality), members in sorted(groups.items(), key=lambda pair: _order(*pair[0]))
        ],
    }


def _order(priority: int, locality: Locality) -> tuple[int, str, str, str]:
    return priority, locality.region, locality.zone, locality.subzone


def _locality(model: Locality) -> JSON:
    return {"region": model.region, "zone": model.zone, "sub_zone": model.subzone}


def _cluster(model: Cluster, style: ProxyStyle) -> JSON:
    rendered: JSON = {
        "@type": TYPE + "config.cluster.v3.Cluster",
        "name": model.name,
        "connect_timeout": seconds(model.limits.connect_timeout_s),
        "circuit_breakers": _breakers(model.limits),
        # Without this, Envoy would use ejected pods again when all of a few pods are ejected.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        **_discovery(model),
        **_protocol(model),
    }
    if model.limits.keepalive:
        rendered["upstream_connection_options"] = {"tcp_keepalive": _keepalive(model.limits.keepalive)}
    if model.outlier:
        rendered["outlier_detection"] = _outlier(model.outlier)
        rendered["common_lb_config"]["healthy_panic_threshold"] = {"value": model.outlier.min_health_percent}
    if model.balancing.locality_weights:
        rendered["common_lb_config"]["locality_weighted_lb_config"] = {}
    return rendered | cluster_tls(model, style)


def _discovery(model: Cluster) -> JSON:
    """Render how a cluster finds hosts: from its endpoints or from the request's authority."""
    if model.as_asked:
        return {
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True, "http_header_name": ":authority"},
        }
    return {
        "type": "EDS",
        "eds_cluster_config": {"eds_config": envoy.config_source()},
        **_balancing(model.balancing),
    }


def _balancing(model: Balancing) -> JSON:
    rendered: JSON = {"lb_policy": model.policy}
    if model.policy == "RING_HASH":
        rendered["ring_hash_lb_config"] = {"minimum_ring_size": model.table_size or _RING_SIZE}
    elif model.policy == "MAGLEV" and model.table_size:
        rendered["maglev_lb_config"] = {"table_size": model.table_size}
    elif model.warmup_s and model.policy != "RANDOM":
        slow_start = {
            "slow_start_window": seconds(model.warmup_s),
            "aggression": {"default_value": model.warmup_aggression, "runtime_key": "meshkit.warmup"},
            "min_weight_percent": {"value": model.warmup_percent},
        }
        rendered[f"{model.policy.lower()}_lb_config"] = {"slow_start_config": slow_start}
    return rendered


def _protocol(model: Cluster) -> JSON:
    """Render the protocol options; plain HTTP/1.1 without limits needs none."""
    limits = model.limits
    common: JSON = {}
    if limits.idle_timeout_s is not None:
        common["idle_timeout"] = seconds(limits.idle_timeout_s)
    if limits.max_requests_per_connection:
        common["max_requests_per_connection"] = limits.max_requests_per_connection
    if limits.max_connection_duration_s is not None:
        common["max_connection_duration"] = seconds(limits.max_connection_duration_s)
    http2: JSON = {}
    if limits.max_concurrent_streams:
        http2["max_concurrent_streams"] = limits.max_concurrent_streams
    if limits.http2_ping:
        interval_s, timeout_s = limits.http2_ping
        http2["connection_keepalive"] = {"interval": seconds(interval_s), "timeout": seconds(timeout_s)}
    if not common and model.protocol == "http1":
        return {}
    options: JSON = {"@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions"}
    if common:
        options["common_http_protocol_options"] = common
    if model.protocol == "client":
        options["use_downstream_protocol_config"] = {
            "http_protocol_options": {},
            "http2_protocol_options": http2,
        }
    elif model.protocol == "http2":
        options["explicit_http_config"] = {"http2_protocol_options": http2}
    else:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {name: options}}


def _keepalive(model: Keepalive) -> JSON:
    values = {
        "keepalive_probes": model.probes,
        "keepalive_time": model.time_s,
        "keepalive_interval": model.interval_s,
    }
    return {name: value for name, value in values.items() if value is not None}


def _endpoint(model: Endpoint) -> JSON:
    rendered: JSON = {"endpoint": {"address": socket(model.address, model.port)}}
    if model.weight != 1:
        rendered["load_balancing_weight"] = model.weight
    if model.meshed:
        rendered["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"meshed": True}}}
    return rendered


def _outlier(model: Outlier) -> JSON:
    rendered: JSON = {
        "interval": seconds(model.interval_s),
        "base_ejection_time": seconds(model.base_ejection_s),
        "max_ejection_percent": model.max_ejection_percent,
        "consecutive_5xx": model.consecutive_5xx or 5,
        "enforcing_consecutive_5xx": 100 if model.consecutive_5xx else 0,
        "consecutive_gateway_failure": model.consecutive_gateway or 5,
        "enforcing_consecutive_gateway_failure": 100 if model.consecutive_gateway else 0,
        "enforcing_success_rate": 0,
    }
    if model.max_ejection_s is not None:
        rendered["max_ejection_time"] = seconds(model.max_ejection_s)
    if model.split_local_origin:
        rendered["split_external_local_origin_errors"] = True
        rendered["enforcing_local_origin_success_rate"] = 0
        if model.consecutive_local_origin:
            rendered["consecutive_local_origin_failure"] = model.consecutive_local_origin
            rendered["enforcing_consecutive_local_origin_failure"] = 100
    return rendered


def _breakers(limits: Limits) -> JSON:
    def limit(value: int | None) -> int:
        return _UNLIMITED if value is None else value

    threshold: JSON = {
        "max_connections": limit(limits.max_connections),
        "max_pending_requests": limit(limits.max_pending_requests),
        "max_requests": limit(limits.max_requests),
        "max_retries": limit(limits.max_retries),
        "track_remaining": True,
    }
    if limits.retry_budget:
        percent, least = limits.retry_budget
        threshold["retry_budget"] = {"budget_percent": {"value": percent}, "min_retry_concurrency": least}
    return {"thresholds": [threshold]}
