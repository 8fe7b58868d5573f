"""RDS. Faults sit in the routes, so that they change without a listener."""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.sandbox.proxies import envoy
from meshkit.sandbox.proxies.model import (
    Backend,
    Fault,
    HashKey,
    HeaderEdits,
    Match,
    NamedMatch,
    Retry,
    Route,
    StringMatch,
    VirtualHost,
)
from meshkit.sandbox.proxies.render.wire import JSON, TYPE, fault, seconds


def route_table(hosts: Iterable[VirtualHost]) -> list[JSON]:
    """The RDS resource: all virtual hosts of a caller."""
    return [
        {
            "@type": TYPE + "config.route.v3.RouteConfiguration",
            "name": envoy.ROUTES,
            "validate_clusters": False,
            "virtual_hosts": [
                {
                    "name": f"{host.service}:{host.port}",
                    "domains": list(host.domains),
                    "routes": [entry for route in host.routes for entry in _route(route, host)],
                }
                for host in hosts
            ],
        }
    ]


def _route(route: Route, host: VirtualHost) -> list[JSON]:
    action = _action(route)
    rendered: JSON = {
        "name": route.name,
        "route": action,
        "metadata": {"filter_metadata": {"meshkit": {"service": host.service, "owner": route.owner}}},
        **_header_edits(route.request_headers, "request"),
        **_header_edits(route.response_headers, "response"),
    }
    if route.fault:
        rendered["typed_per_filter_config"] = {"envoy.filters.http.fault": fault(route.fault)}
    return [{**rendered, "match": match_of(match)} for match in route.matches]


def _action(route: Route) -> JSON:
    action: JSON = {"timeout": seconds(route.timeout_s or 0)}
    if len(route.backends) == 1 and route.backends[0].cluster:
        action["cluster"] = route.backends[0].cluster
    else:
        action["weighted_clusters"] = {"clusters": [_weighted(backend) for backend in route.backends]}
    if route.retry and route.retry.attempts:
        action["retry_policy"] = _retry(route.retry)
    if route.hash_keys:
        action["hash_policy"] = [_hash_policy(key) for key in route.hash_keys]
    return action


def _weighted(backend: Backend) -> JSON:
    if backend.cluster is not None:
        return {"name": backend.cluster, "weight": backend.weight}
    refusal = fault(Fault(abort_status=500, abort_percent=100.0))
    return {
        "name": "invalid-backend",
        "weight": backend.weight,
        "typed_per_filter_config": {"envoy.filters.http.fault": refusal},
    }


def _retry(model: Retry) -> JSON:
    rendered: JSON = {
        "retry_on": ",".join([*model.retry_on, *(["retriable-status-codes"] if model.statuses else [])]),
        "num_retries": model.attempts,
        "retry_back_off": {"base_interval": seconds(model.backoff_s)},
    }
    if model.statuses:
        rendered["retriable_status_codes"] = list(model.statuses)
    if model.per_try_timeout_s:
        rendered["per_try_timeout"] = seconds(model.per_try_timeout_s)
    if model.avoid_previous_hosts:
        predicate = "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        rendered["retry_host_predicate"] = [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": TYPE + predicate},
            }
        ]
        rendered["host_selection_retry_max_attempts"] = 5
    return rendered


def _hash_policy(key: HashKey) -> JSON:
    if key.source == "header":
        return {"header": {"header_name": key.name}}
    if key.source == "query":
        return {"query_parameter": {"name": key.name}}
    return {"connection_properties": {"source_ip": True}}


def _header_edits(edits: HeaderEdits, side: str) -> JSON:
    rendered: JSON = {}
    options = [(edits.set, "OVERWRITE_IF_EXISTS_OR_ADD"), (edits.add, "APPEND_IF_EXISTS_OR_ADD")]
    added = [
        {"header": {"key": name, "value": value}, "append_action": how}
        for pairs, how in options
        for name, value in pairs
    ]
    if added:
        rendered[f"{side}_headers_to_add"] = added
    if edits.remove:
        rendered[f"{side}_headers_to_remove"] = list(edits.remove)
    return rendered


def match_of(match: Match) -> JSON:
    """The conditions of a route."""
    rendered: JSON = _path(match.path)
    headers = [_named(condition) for condition in match.headers]
    if match.method:
        headers.insert(0, {"name": ":method", "string_match": _string(match.method)})
    if headers:
        rendered["headers"] = headers
    if match.query:
        rendered["query_parameters"] = [_named(condition) for condition in match.query]
    return rendered


def _path(path: StringMatch | None) -> JSON:
    if path is None:
        return {"prefix": "/"}
    case: JSON = {"case_sensitive": False} if path.ignore_case else {}
    if path.kind == "exact":
        return {"path": path.value, **case}
    if path.kind == "regex":
        return {"safe_regex": {"regex": path.value}}
    if path.kind == "segments" and path.value.strip("/"):
        return {"path_separated_prefix": path.value.rstrip("/"), **case}
    return {"prefix": path.value or "/", **case}


def _named(condition: NamedMatch) -> JSON:
    rendered: JSON = {"name": condition.name}
    if condition.match.kind == "present":
        rendered["present_match"] = True
    else:
        rendered["string_match"] = _string(condition.match)
    if condition.invert:
        rendered["invert_match"] = True
    return rendered


def _string(match: StringMatch) -> JSON:
    if match.kind == "regex":
        return {"safe_regex": {"regex": match.value}}
    return {match.kind: match.value}
