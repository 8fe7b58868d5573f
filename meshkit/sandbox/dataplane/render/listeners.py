"""Renders the LDS resources: the outbound listener and one inbound listener for each captured port.

All requests of the application enter the outbound listener.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshkit.meshes.model.inbound import Inbound, InboundRoute
from meshkit.meshes.model.outbound import OUTBOUND_PORT
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.render.access import rbac_filters, route_rbac
from meshkit.sandbox.dataplane.render.clusters import app_cluster
from meshkit.sandbox.dataplane.render.connections import tcp_filters
from meshkit.sandbox.dataplane.render.limits import rate_limit_filters
from meshkit.sandbox.dataplane.render.matches import request_match
from meshkit.sandbox.dataplane.render.style import ProxyStyle
from meshkit.sandbox.dataplane.render.tls import downstream_tls
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE, http_filter, socket


def listeners_of(inbounds: Iterable[Inbound], pod_dir: Path, pod_ip: str, style: ProxyStyle) -> list[JSON]:
    """Render the outbound listener and one inbound listener for each captured port."""
    return [_outbound(pod_dir, pod_ip, style), *(_inbound(item, pod_dir, pod_ip, style) for item in inbounds)]


def _outbound(pod_dir: Path, pod_ip: str, style: ProxyStyle) -> JSON:
    rds = {"route_config_name": envoy.ROUTES, "config_source": envoy.config_source()}
    manager = _connection_manager(
        "outbound",
        style,
        {"rds": rds},
        [http_filter("cors", "cors.v3.Cors"), http_filter("fault", "fault.v3.HTTPFault")],
    )
    return {
        "@type": TYPE + "config.listener.v3.Listener",
        "name": "outbound",
        "traffic_direction": "OUTBOUND",
        "address": socket(pod_ip, OUTBOUND_PORT),
        "filter_chains": [{"filters": [manager]}],
    }


def _inbound(model: Inbound, pod_dir: Path, pod_ip: str, style: ProxyStyle) -> JSON:
    if model.protocol == "tcp":
        filters = tcp_filters(model)
    else:
        routes = {"route_config": _inbound_routes(model)}
        checks = [*rbac_filters(), *rate_limit_filters(model.limit)]
        filters = [_connection_manager("inbound", style, routes, checks)]
    raw: JSON = {
        "name": "raw",
        "filters": filters,
        "filter_chain_match": {"transport_protocol": "raw_buffer"},
    }
    tls: JSON = {
        "name": "tls",
        "filters": filters,
        "filter_chain_match": {"transport_protocol": "tls"},
        "transport_socket": downstream_tls(),
    }
    if model.protocol == "tcp" and model.mode == "plaintext":
        del raw["filter_chain_match"]  # TLS of the application passes, too.
    chains = {"plaintext": [raw], "strict": [tls]}.get(model.mode, [tls, raw])
    inspector = "extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return {
        "@type": TYPE + "config.listener.v3.Listener",
        "name": f"inbound|{model.port}",
        "traffic_direction": "INBOUND",
        "address": socket(pod_ip, model.port),
        "listener_filters": [
            {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": TYPE + inspector}}
        ],
        "listener_filters_timeout": f"{style.detection_s}s",
        "continue_on_listener_filters_timeout": True,
        "filter_chains": chains,
        "access_log": [envoy.refusal_log()],
    }


def _inbound_routes(model: Inbound) -> JSON:
    name = app_cluster(model.port)
    host = {"name": name, "domains": ["*"], "routes": [_inbound_route(item, model) for item in model.routes]}
    return {"name": name, "virtual_hosts": [host]}


def _inbound_route(item: InboundRoute, model: Inbound) -> JSON:
    """Render a route to the application; it retries when the connection closed before the request."""
    named = {"filter_metadata": {"meshkit": {"server": model.server}}}
    route: JSON = {"name": item.name, "match": request_match(item.match), "metadata": named}
    if item.status is not None:
        return {**route, "direct_response": {"status": item.status}}
    action = {
        "cluster": app_cluster(model.port),
        "timeout": "0s",
        "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2},
    }
    return {**route, "route": action, **route_rbac(item.authorization)}


def _connection_manager(side: str, style: ProxyStyle, routing: JSON, filters: list[JSON]) -> JSON:
    manager: JSON = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": side,
        "access_log": [envoy.access_log("inbound" if side == "inbound" else "outbound", style.latency_until)],
        "http_filters": [*filters, http_filter("router", "router.v3.Router")],
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "server_name": style.server_name,
        "normalize_path": True,
        **routing,
    }
    if side == "inbound":
        manager |= {"local_reply_config": style.local_replies} if style.local_replies else {}
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"uri": True, "dns": True}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
