"""Renders the RDS resource.

Faults and CORS are part of the routes, so that they change without replacing a listener.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.meshes.model.outbound import Cors, Route, VirtualHost
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.render.actions import direct_response, forward, header_edits, redirect
from meshkit.sandbox.dataplane.render.connections import tcp_routes
from meshkit.sandbox.dataplane.render.matches import request_match, string_matcher
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE, fault, percent


def route_table(hosts: Iterable[VirtualHost]) -> list[JSON]:
    """Render the RDS resource with all virtual hosts of a caller."""
    return [
        {
            "@type": TYPE + "config.route.v3.RouteConfiguration",
            "name": envoy.ROUTES,
            "validate_clusters": False,
            "virtual_hosts": [
                {
                    "name": _name(host),
                    "domains": list(host.domains),
                    "routes": tcp_routes(host)
                    if host.protocol == "tcp"
                    else [entry for route in host.routes for entry in _route(route, host)],
                }
                for host in hosts
            ],
        }
    ]


def _route(route: Route, host: VirtualHost) -> list[JSON]:
    named = {"service": host.service, "owner": route.owner, "kind": route.ruler.partition(" ")[0]}
    rendered: JSON = {
        "name": route.name,
        **_action(route),
        "metadata": {"filter_metadata": {"meshkit": named}},
        **header_edits(route.request_headers, "request"),
        **header_edits(route.response_headers, "response"),
    }
    filters: JSON = {}
    if route.fault:
        filters["envoy.filters.http.fault"] = fault(route.fault)
    if route.cors:
        filters["envoy.filters.http.cors"] = _cors(route.cors)
    if filters:
        rendered["typed_per_filter_config"] = filters
    return [{**rendered, "match": request_match(match)} for match in route.matches]


def _action(route: Route) -> JSON:
    if route.redirect:
        return {"redirect": redirect(route.redirect)}
    if route.direct:
        return {"direct_response": direct_response(route.direct)}
    return {"route": forward(route)}


def _cors(model: Cors) -> JSON:
    rendered: JSON = {
        "@type": TYPE + "extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [string_matcher(origin) for origin in model.origins],
        "allow_methods": ",".join(model.methods),
        "allow_headers": ",".join(model.allowed_headers),
        "expose_headers": ",".join(model.exposed_headers),
        "filter_enabled": {"default_value": percent(100)},
        "forward_not_matching_preflights": model.forward_unmatched_preflights,
    }
    if model.max_age_s is not None:
        rendered["max_age"] = str(model.max_age_s)
    if model.credentials is not None:
        rendered["allow_credentials"] = model.credentials
    return rendered


def _name(host: VirtualHost) -> str:
    """Return the unique name of a virtual host: the Service and port, or the name of a pod below them."""
    plain = f"{host.service}:{host.port}"
    return next((domain for domain in host.domains if domain.endswith(plain)), plain)
