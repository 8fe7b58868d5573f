"""Renders the action of a route: forward, redirect or direct response."""

from __future__ import annotations

from meshkit.meshes.model.outbound import (
    Backend,
    DirectResponse,
    Fault,
    HashKey,
    HeaderEdits,
    Mirror,
    Redirect,
    Retry,
    Route,
)
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE, fault, percent, seconds

_REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


def forward(route: Route) -> JSON:
    """Render forwarding to one cluster, or to several clusters by weight."""
    action: JSON = {"timeout": seconds(route.timeout_s or 0)}
    first = route.backends[0]
    plain = HeaderEdits()
    edited = (first.request_headers, first.response_headers) != (plain, plain)
    if len(route.backends) == 1 and first.cluster and not edited:
        action["cluster"] = first.cluster
    else:
        action["weighted_clusters"] = {"clusters": [_weighted(backend) for backend in route.backends]}
    if route.retry and route.retry.attempts:
        action["retry_policy"] = _retry(route.retry)
    if route.hash_keys:
        action["hash_policy"] = [_hash_policy(key) for key in route.hash_keys]
    if route.rewrite and route.rewrite.regex:
        pattern, substitution = route.rewrite.regex
        action["regex_rewrite"] = {"pattern": {"regex": pattern}, "substitution": substitution}
    elif route.rewrite and route.rewrite.prefix:
        action["prefix_rewrite"] = route.rewrite.prefix
    if route.request_headers.authority:
        action["host_rewrite_literal"] = route.request_headers.authority
    if route.mirrors:
        action["request_mirror_policies"] = [_mirror(item) for item in route.mirrors]
    return action


def redirect(model: Redirect) -> JSON:
    """Render a redirect."""
    values = {
        "scheme_redirect": model.scheme,
        "host_redirect": model.host,
        "port_redirect": model.port,
        "path_redirect": model.path,
        "prefix_rewrite": model.prefix,
    }
    written = {name: value for name, value in values.items() if value}
    return {**written, "response_code": _REDIRECTS[model.status]}


def direct_response(model: DirectResponse) -> JSON:
    """Render a response that the proxy itself sends."""
    body: JSON = {"inline_string": model.body} if model.body else {}
    if model.encoded:
        body = {"inline_bytes": model.encoded}
    return {"status": model.status, **({"body": body} if body else {})}


def header_edits(edits: HeaderEdits, side: str) -> JSON:
    """Render header changes of a request or response; the route's action sets the authority."""
    rendered: JSON = {}

    def escaped(value: str) -> str:
        return value.replace("%", "%%") if edits.literal else value

    options = [(edits.set, "OVERWRITE_IF_EXISTS_OR_ADD"), (edits.add, "APPEND_IF_EXISTS_OR_ADD")]
    added = [
        {"header": {"key": name, "value": escaped(value)}, "append_action": how}
        for pairs, how in options
        for name, value in pairs
    ]
    if added:
        rendered[f"{side}_headers_to_add"] = added
    if edits.remove:
        rendered[f"{side}_headers_to_remove"] = list(edits.remove)
    return rendered


def _weighted(backend: Backend) -> JSON:
    if backend.cluster is None:
        refusal = fault(Fault(abort_status=500, abort_percent=100.0))
        return {
            "name": "invalid-backend",
            "weight": backend.weight,
            "typed_per_filter_config": {"envoy.filters.http.fault": refusal},
        }
    rendered: JSON = {"name": backend.cluster, "weight": backend.weight}
    rendered |= header_edits(backend.request_headers, "request")
    rendered |= header_edits(backend.response_headers, "response")
    if backend.request_headers.authority:
        rendered["host_rewrite_literal"] = backend.request_headers.authority
    return rendered


def _mirror(model: Mirror) -> JSON:
    """Render a mirror; mirrored requests keep their host (Istio's default DISABLE_SHADOW_HOST_SUFFIX)."""
    return {
        "cluster": model.cluster,
        "runtime_fraction": {"default_value": percent(model.percent)},
        "trace_sampled": False,
        "disable_shadow_host_suffix_append": True,
    }


def _retry(model: Retry) -> JSON:
    named = [*model.retry_on]
    if model.statuses and "retriable-status-codes" not in named:
        named.append("retriable-status-codes")
    rendered: JSON = {
        "retry_on": ",".join(named),
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
    if model.other_localities:
        priority = "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
        rendered["retry_priority"] = {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": TYPE + priority, "update_frequency": 2},
        }
    return rendered


def _hash_policy(key: HashKey) -> JSON:
    if key.source == "header":
        return {"header": {"header_name": key.name}}
    if key.source == "query":
        return {"query_parameter": {"name": key.name}}
    if key.source == "address":
        return {"connection_properties": {"source_ip": True}}
    cookie: JSON = {"name": key.name}
    if key.path:
        cookie["path"] = key.path
    if key.ttl_s is not None:
        cookie["ttl"] = seconds(key.ttl_s)
    if key.attributes:
        cookie["attributes"] = [{"name": name, "value": value} for name, value in key.attributes]
    return {"cookie": cookie}
