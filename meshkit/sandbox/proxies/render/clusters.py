"""CDS: clusters with their endpoints.

Endpoints stand in their cluster and not in an EDS file of their own, because Envoy takes an inotify instance
for every watched file and Linux gives a user 128 of them: with a file for each cluster a dozen proxies would
use them up. Envoy replaces only a cluster whose content changed and lets its running requests finish; what it
forgets is which of the cluster's endpoints were ejected.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshkit.sandbox.proxies.model import Cluster, Endpoint, Limits, Outlier
from meshkit.sandbox.proxies.poddir import app_socket
from meshkit.sandbox.proxies.render.wire import JSON, TYPE, raw_buffer, seconds, socket, upstream_tls

_UNLIMITED = 4294967295


def outbound_clusters(model: Iterable[Cluster], pod_dir: Path, mesh: str) -> list[JSON]:
    """The CDS resources: every outbound cluster with its addresses."""
    return [_cluster(item, pod_dir, mesh) for item in model]


def app_clusters(ports: Iterable[int], pod_dir: Path) -> list[JSON]:
    """The CDS resources of the pod's own application, behind a socket that only the proxy's user can open."""
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
    """The cluster of the pod's own application on a port, in Istio's form."""
    return f"inbound|{port}||"


def _assignment(model: Cluster) -> JSON:
    """The addresses, in an order that does not depend on that of the objects they come from."""
    listed = sorted(model.endpoints, key=lambda item: (item.address, item.port))
    return {
        "cluster_name": model.name,
        "endpoints": [{"lb_endpoints": [_endpoint(item) for item in listed]}],
    }


def _cluster(model: Cluster, pod_dir: Path, mesh: str) -> JSON:
    rendered: JSON = {
        "@type": TYPE + "config.cluster.v3.Cluster",
        "name": model.name,
        "type": "STATIC",
        "load_assignment": _assignment(model),
        "connect_timeout": seconds(model.limits.connect_timeout_s),
        "lb_policy": model.load_balancer,
        "circuit_breakers": _breakers(model.limits),
        # One or two pods may all be ejected: without this Envoy would then use the ejected ones again.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if model.limits.max_requests_per_connection:
        rendered["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {
                    "max_requests_per_connection": model.limits.max_requests_per_connection
                },
            }
        }
    if model.outlier:
        rendered["outlier_detection"] = _outlier(model.outlier)
        rendered["common_lb_config"]["healthy_panic_threshold"] = {"value": model.outlier.min_health_percent}
    if model.tls == "always":
        rendered["transport_socket"] = upstream_tls(model, pod_dir, mesh)
    if model.tls == "auto":
        rendered["transport_socket_matches"] = [
            {
                "name": "meshed",
                "match": {"meshed": True},
                "transport_socket": upstream_tls(model, pod_dir, mesh),
            },
            {"name": "plaintext", "match": {}, "transport_socket": raw_buffer()},
        ]
    return rendered


def _endpoint(model: Endpoint) -> JSON:
    rendered: JSON = {"endpoint": {"address": socket(model.address, model.port)}}
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
    return rendered


def _breakers(limits: Limits) -> JSON:
    def limit(value: int | None) -> int:
        return _UNLIMITED if value is None else value

    threshold = {
        "max_connections": limit(limits.max_connections),
        "max_pending_requests": limit(limits.max_pending_requests),
        "max_requests": limit(limits.max_requests),
        "max_retries": limit(limits.max_retries),
        "track_remaining": True,
    }
    return {"thresholds": [threshold]}
