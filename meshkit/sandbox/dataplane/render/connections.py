"""Renders TCP ports, whose connections Envoy carries without reading requests.

A server's port has a TCP proxy behind the authorization. A caller reaches a TCP port through its proxy by
CONNECT, or by a plain request, which is forwarded without any rule of HTTP.
"""

from __future__ import annotations

from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.outbound import VirtualHost
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.render.access import connection_rbac
from meshkit.sandbox.dataplane.render.actions import forward
from meshkit.sandbox.dataplane.render.clusters import app_cluster
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE


def tcp_filters(model: Inbound) -> list[JSON]:
    """Render the network filters of a captured TCP port."""
    proxy = {
        "@type": TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": app_cluster(model.port),
        "cluster": app_cluster(model.port),
        "access_log": [envoy.connection_log(model.server)],
    }
    named = {"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}
    return [*connection_rbac(model.routes[0].authorization), named]


def tcp_routes(host: VirtualHost) -> list[JSON]:
    """Render the two routes to an outbound TCP port: tunnels, and requests as they are."""
    action = forward(host.routes[0])
    tunnel = {**action, "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
    named = {"filter_metadata": {"meshkit": {"service": host.service, "protocol": "tcp"}}}
    return [
        {"name": envoy.TUNNEL, "match": {"connect_matcher": {}}, "route": tunnel, "metadata": named},
        {"name": "request", "match": {"prefix": "/"}, "route": action, "metadata": named},
    ]
