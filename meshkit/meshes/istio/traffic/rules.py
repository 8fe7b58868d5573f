"""The HTTP rules of a VirtualService that carry out a Route's rules, header matches and split, in order.

Istio tries the rules of a VirtualService in their order, as a Route does. Two things it says otherwise: its
path prefix is one of characters, so a prefix by whole segments is two matches; and a prefix is replaced
within the path by an expression, as one replacement holds for both of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.intent.rules import (
    Cors,
    Fault,
    HeaderEdits,
    Match,
    Mirror,
    OtherService,
    PathMatch,
    Redirect,
    Respond,
    Retries,
    Rewrite,
    Rule,
    TextMatch,
    whole_weights,
)
from meshkit.intent.traffic import Route
from meshkit.meshes.gateway_api.durations import duration
from meshkit.meshes.gateway_api.meaning.routes import other_prefix, whole_path
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.routing.capabilities import Limits

Json = dict[str, Any]
LIMITS: Limits = {
    "rules[].matches[].query.*.present: False": "Put a rule for requests that have the parameter before it.",
}
"""The fields of a Route that VirtualServices cannot carry out, each with what they can do instead."""
_RETRY_ON = {
    "gateway-error": "gateway-error,connect-failure,refused-stream",
    "5xx": "5xx,connect-failure,refused-stream",
}


def http_rules(route: Route) -> Iterator[Json]:
    """The ``http`` entries of a Route's port."""
    for number, rule in enumerate(route.rules, start=1):
        yield _of_rule(route, rule, f"{route.name}-rule-{number}")
    for number, match in enumerate(route.matches, start=1):
        conditions = {"headers": {match.header.lower(): {"exact": match.value}}}
        sent = _sent(route, _versions(route, {match.version: None}))
        yield {"name": f"{route.name}-match-{number}", "match": [_at_port(route, conditions)], **sent}
    sent = _sent(route, _versions(route, route.weights()))
    yield {"name": route.name, "match": [_at_port(route, {})], **sent}


def tcp_rules(route: Route) -> Iterator[Json]:
    """The ``tcp`` entry of a Route's port, which has no name."""
    yield {"match": [_at_port(route, {})], "route": _versions(route, route.weights())}


def _of_rule(route: Route, rule: Rule, name: str) -> Json:
    conditions = [each for match in rule.matches for each in _conditions(match)] or [{}]
    body: Json = {"name": name, "match": [_at_port(route, each) for each in conditions]}
    if rule.redirect:
        body |= {"redirect": _redirect(rule.redirect)}
    elif rule.respond:
        body |= {"directResponse": _direct_response(rule.respond)}
    else:
        body |= _sent(route, list(_destinations(route, rule)), rule)
    headers = given(
        {"request": _header_edits(rule.request_headers), "response": _header_edits(rule.response_headers)}
    )
    return {
        **body,
        **({"headers": headers} if headers else {}),
        **({"corsPolicy": _cors(rule.cors)} if rule.cors else {}),
    }


def _sent(route: Route, destinations: list[Json], rule: Rule | None = None) -> Json:
    """What happens to requests that are sent on. What a rule does not say, the Route says."""
    timeout_s, retries, fault = (
        getattr(route if getattr(rule, name, None) is None else rule, name)
        for name in ("timeout_s", "retries", "fault")
    )
    return given(
        {
            "route": destinations,
            "rewrite": _rewrite(rule.rewrite, rule.matched_prefix()) if rule and rule.rewrite else None,
            "mirrors": [_mirror(route, rule.mirror)] if rule and rule.mirror else None,
            "timeout": None if timeout_s is None else duration(timeout_s),
            "retries": _retries(retries) if retries else None,
            "fault": _fault(fault) if fault else None,
        }
    )


def _destinations(route: Route, rule: Rule) -> Iterator[Json]:
    if rule.split:
        weights = whole_weights(route.in_order(rule.split))
        yield from _versions(route, weights if len(weights) > 1 else dict.fromkeys(weights))
        return
    for other, weight in rule.weighted_services():
        target = {"host": _host(route, other), "port": {"number": other.port}}
        yield {"destination": target, **({"weight": weight} if len(rule.services) > 1 else {})}


def _versions(route: Route, weights: Mapping[str, int | None]) -> list[Json]:
    return [
        given({"destination": _version(route, version), "weight": weight})
        for version, weight in weights.items()
    ]


def _version(route: Route, version: str) -> Json:
    return {"host": route.service, "subset": version, "port": {"number": route.port}}


def _host(route: Route, other: OtherService) -> str:
    if other.namespace in (None, route.namespace):
        return other.service
    return f"{other.service}.{other.namespace}.svc.{CLUSTER_DOMAIN}"


def _mirror(route: Route, mirror: Mirror) -> Json:
    target = (
        _version(route, mirror.version)
        if mirror.version
        else {"host": mirror.service, "port": {"number": mirror.port or route.port}}
    )
    return {"destination": target, "percentage": {"value": mirror.percent}}


def _at_port(route: Route, conditions: Json) -> Json:
    return {**conditions, "port": route.port}


def _conditions(match: Match) -> Iterator[Json]:
    """The conditions of one match, twice where its path has a prefix: the path itself, and all below it."""
    absent = {name for name, text in match.headers.items() if text.present is False}
    headers = {name.lower(): _text(text) for name, text in match.headers.items() if name not in absent}
    common: Json = {
        "method": {"exact": match.method} if match.method else None,
        "headers": headers or None,
        "withoutHeaders": {name.lower(): {} for name in sorted(absent)} or None,
        "queryParams": {name: _query(text) for name, text in match.query.items()} or None,
        "sourceLabels": dict(match.source_labels) or None,
        "sourceNamespace": match.source_namespace,
    }
    path = match.grpc.path() if match.grpc else match.path
    for uri in _uris(path) if path else (None,):
        yield given({"uri": uri, **common})


def _uris(path: PathMatch) -> Iterator[Json | None]:
    if path.prefix is None:
        yield {"exact": path.exact} if path.exact else {"regex": path.regex}
    elif stem := path.prefix.rstrip("/"):
        yield {"exact": stem}
        yield {"prefix": f"{stem}/"}
    else:
        yield {"prefix": "/"}


def _text(text: TextMatch) -> Json:
    """An empty condition asks only that the value be there."""
    written = {"exact": text.exact, "prefix": text.prefix, "regex": text.regex}
    return {key: value for key, value in written.items() if value is not None}


def _query(text: TextMatch) -> Json:
    """Istio has no prefix of a query parameter."""
    return {"regex": f"{re.escape(text.prefix)}.*"} if text.prefix else _text(text)


def _rewrite(rewrite: Rewrite, matched: str | None) -> Json:
    expression = None
    if rewrite.path:
        expression = whole_path(rewrite.path)
    elif rewrite.prefix and matched:
        expression = other_prefix(matched, rewrite.prefix)
    written = expression and {"match": expression[0], "rewrite": expression[1]}
    return given({"uriRegexRewrite": written, "authority": rewrite.host})


def _redirect(redirect: Redirect) -> Json:
    return given(
        {
            "scheme": redirect.scheme,
            "authority": redirect.host,
            "port": redirect.port,
            "uri": redirect.path,
            "redirectCode": redirect.status,
        }
    )


def _direct_response(respond: Respond) -> Json:
    return given({"status": respond.status, "body": {"string": respond.body} if respond.body else None})


def _header_edits(edits: HeaderEdits | None) -> Json | None:
    if edits is None:
        return None
    set_, added = (
        {name: literal(value) for name, value in values.items()} for values in (edits.set, edits.add)
    )
    written = {"set": set_, "add": added, "remove": list(edits.remove)}
    return {key: value for key, value in written.items() if value}


def literal(value: str) -> str:
    """A header's value in which Envoy replaces nothing: one '%' begins a variable of it, two are one '%'."""
    return value.replace("%", "%%")


def _cors(cors: Cors) -> Json:
    origins = [{"regex": ".*"} if origin == "*" else {"exact": origin} for origin in cors.origins]
    return given(
        {
            "allowOrigins": origins,
            "allowMethods": list(cors.methods),
            "allowHeaders": list(cors.headers) or None,
            "exposeHeaders": list(cors.exposed_headers) or None,
            "maxAge": None if cors.max_age_s is None else f"{cors.max_age_s}s",
            "allowCredentials": cors.credentials,
        }
    )


def _retries(retries: Retries) -> Json:
    if not retries.attempts:
        return {"attempts": 0}
    conditions = ",".join((_RETRY_ON[retries.on], *map(str, retries.statuses), *retries.grpc_statuses))
    return given(
        {
            "attempts": retries.attempts,
            "perTryTimeout": None
            if retries.per_try_timeout_s is None
            else duration(retries.per_try_timeout_s),
            "retryOn": conditions,
            "backoff": None if retries.backoff_s is None else duration(retries.backoff_s),
        }
    )


def _fault(fault: Fault) -> Json:
    parts: Json = {}
    if fault.delay_s is not None:
        percentage = {"value": fault.delay_percent}
        parts["delay"] = {"fixedDelay": duration(fault.delay_s), "percentage": percentage}
    if fault.abort_status is not None:
        parts["abort"] = {"httpStatus": fault.abort_status, "percentage": {"value": fault.abort_percent}}
    return parts


def given(fields: Json) -> Json:
    """The fields that have a value."""
    return {key: value for key, value in fields.items() if value is not None}
