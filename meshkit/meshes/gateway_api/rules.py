"""The rules of an HTTPRoute that carry out a Route's rules, header matches and split.

Gateway API tries the more specific match first, wherever it stands; a Route its rules in their order. So a
Route is refused whose order would not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.intent.rules import HeaderEdits, Match, Redirect, Rewrite, Rule, TextMatch, whole_weights
from meshkit.intent.traffic import Route
from meshkit.meshes.gateway_api.durations import gateway_duration
from meshkit.meshes.gateway_api.meaning.matches import Rank, matches_of
from meshkit.meshes.model import outbound

Json = dict[str, Any]
Ranks = Callable[[outbound.Match], Rank]
"""Sorts matches by precedence, as a mesh does."""


def backend_name(service: str, version: str) -> str:
    """The name of a version's Service, which is needed because Gateway API has no subsets."""
    return f"{service}-{version}"


def http_rules(route: Route, rank: Ranks) -> list[Json]:
    """The rules of a Route's HTTPRoute.

    Raises ``BadInput`` if Gateway API would try them in another order.
    """
    placed = [(f"rules[{place}]", _of_rule(route, place, rule)) for place, rule in enumerate(route.rules)]
    for place, match in enumerate(route.matches):
        header = {"type": "Exact", "name": match.header, "value": match.value}
        sent = {"backendRefs": _versions(route, {match.version: 1}), **_of_route(route)}
        placed.append((f"matches[{place}]", {"matches": [{"headers": [header]}], **sent}))
    placed.append(("split", {"backendRefs": _versions(route, route.weights()), **_of_route(route)}))
    _require_order(placed, rank)
    return [rule for _, rule in placed]


def _require_order(placed: Sequence[tuple[str, Json]], rank: Ranks) -> None:
    """Refuse a rule that takes requests of an earlier one, because its match is the more specific."""
    earlier: list[tuple[str, outbound.Match]] = []
    for where, rule in placed:
        matches = matches_of(rule, "HTTPRoute")
        for match in matches:
            for before, other in earlier:
                if rank(match) < rank(other) and not _exclude_each_other(match, other):
                    problem = (
                        f"Gateway API tries the more specific match first, so route.{where} would take"
                        f" requests of route.{before}, which stands before it."
                    )
                    remedy = (
                        f"Put {where} before {before}, or give {before} the conditions that tell them apart."
                    )
                    raise BadInput(f"route.{where}", problem, remedy=remedy)
        earlier += [(where, match) for match in matches]


def _exclude_each_other(one: outbound.Match, other: outbound.Match) -> bool:
    """Whether no request meets both, because they ask for two exact values of one thing."""
    pairs = [(one.path, other.path), (one.method, other.method)]
    for mine, theirs in ((one.headers, other.headers), (one.query, other.query)):
        by_name = {each.name: each.match for each in theirs}
        pairs += [(each.match, by_name.get(each.name)) for each in mine]
    return any(
        mine is not None
        and theirs is not None
        and mine.kind == theirs.kind == "exact"
        and mine.value != theirs.value
        for mine, theirs in pairs
    )


def _of_rule(route: Route, place: int, rule: Rule) -> Json:
    body: Json = {}
    if rule.matches:
        body["matches"] = [_match(match) for match in rule.matches]
    if filters := list(_filters(rule)):
        body["filters"] = filters
    if rule.split:
        body["backendRefs"] = _versions(route, whole_weights(route.in_order(rule.split)))
    elif rule.services:
        body["backendRefs"] = [
            _backend(other.service, other.port, weight) for other, weight in rule.weighted_services()
        ]
    if rule.redirect:
        return body
    if rule.timeout_s is None:
        return {**body, **_of_route(route)}
    return {**body, **_timeouts(f"route.rules[{place}].timeout_s", rule.timeout_s)}


def _of_route(route: Route) -> Json:
    return _timeouts("route.timeout_s", route.timeout_s)


def _timeouts(field: str, timeout_s: float | None) -> Json:
    return {} if timeout_s is None else {"timeouts": {"request": gateway_duration(timeout_s, field)}}


def _versions(route: Route, weights: Mapping[str, int]) -> list[Json]:
    return [
        _backend(backend_name(route.service, version), route.port, weight)
        for version, weight in weights.items()
    ]


def _backend(service: str, port: int, weight: int) -> Json:
    return {"group": "", "kind": "Service", "name": service, "port": port, "weight": weight}


def _match(match: Match) -> Json:
    written: Json = {}
    if path := match.path:
        kinds = {"Exact": path.exact, "PathPrefix": path.prefix, "RegularExpression": path.regex}
        written["path"] = next({"type": kind, "value": value} for kind, value in kinds.items() if value)
    if match.method:
        written["method"] = match.method
    for field, texts in (("headers", match.headers), ("queryParams", match.query)):
        if texts:
            written[field] = [{"name": name, **_text(text)} for name, text in texts.items()]
    return written


def _text(text: TextMatch) -> Json:
    """Exact or a regular expression; that it is there is an expression for any value."""
    if text.exact is not None:
        return {"type": "Exact", "value": text.exact}
    return {"type": "RegularExpression", "value": text.regex or ".*"}


def _filters(rule: Rule) -> Iterator[Json]:
    for side, edits in (("Request", rule.request_headers), ("Response", rule.response_headers)):
        if edits:
            yield {"type": f"{side}HeaderModifier", f"{side.lower()}HeaderModifier": _edits(edits)}
    if rule.redirect:
        yield {"type": "RequestRedirect", "requestRedirect": _redirect(rule.redirect)}
    if rule.rewrite:
        yield {"type": "URLRewrite", "urlRewrite": _rewrite(rule.rewrite)}


def _edits(edits: HeaderEdits) -> Json:
    def pairs(values: Mapping[str, str]) -> list[Json]:
        return [{"name": name, "value": value} for name, value in values.items()]

    return _given({"set": pairs(edits.set), "add": pairs(edits.add), "remove": list(edits.remove)})


def _redirect(redirect: Redirect) -> Json:
    path = {"type": "ReplaceFullPath", "replaceFullPath": redirect.path} if redirect.path else None
    return _given(
        {
            "scheme": redirect.scheme,
            "hostname": redirect.host,
            "port": redirect.port,
            "path": path,
            "statusCode": redirect.status,
        }
    )


def _rewrite(rewrite: Rewrite) -> Json:
    path = None
    if rewrite.path:
        path = {"type": "ReplaceFullPath", "replaceFullPath": rewrite.path}
    elif rewrite.prefix:
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": rewrite.prefix}
    return _given({"hostname": rewrite.host, "path": path})


def _given(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value}
