"""The rules of an HTTPRoute or GRPCRoute that carry out a Route's rules, header matches and split.

Gateway API tries the more specific match first, wherever it stands; a Route its rules in their order. So a
Route is refused whose order would not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from meshkit.errors import BadInput
from meshkit.intent.rules import HeaderEdits, Match, Mirror, Redirect, Rewrite, Rule, TextMatch, whole_weights
from meshkit.intent.traffic import Route
from meshkit.meshes.gateway_api.durations import gateway_duration
from meshkit.meshes.gateway_api.meaning.matches import Rank, matches_of
from meshkit.meshes.gateway_api.meaning.matches import rank as rank_of_grpc
from meshkit.meshes.model import outbound

Json = dict[str, Any]
Ranks = Callable[[outbound.Match], Rank]
"""Sorts matches by precedence, as a mesh does."""


@dataclass(frozen=True)
class Dialect:
    """How a mesh reads what Gateway API leaves open; ``rank`` is of an HTTPRoute's matches."""

    rank: Ranks
    literal: Callable[[str], str] = str
    """Writes the value of a header in such a way that the mesh sends it unchanged."""


def backend_name(service: str, version: str) -> str:
    """The name of a version's Service, which is needed because Gateway API has no subsets."""
    return f"{service}-{version}"


def written_rules(route: Route, dialect: Dialect) -> list[Json]:
    """The rules of a Route's HTTPRoute or GRPCRoute.

    Raises ``BadInput`` if Gateway API would try them in another order.
    """
    placed = [
        (f"rules[{place}]", part)
        for place, rule in enumerate(route.rules)
        for part in _of_rule(route, place, rule, dialect)
    ]
    for place, match in enumerate(route.matches):
        header = {"type": "Exact", "name": match.header, "value": match.value}
        sent = {"backendRefs": _versions(route, {match.version: 1}), **_of_route(route)}
        placed.append((f"matches[{place}]", {"matches": [{"headers": [header]}], **sent}))
    placed.append(("split", {"backendRefs": _versions(route, route.weights()), **_of_route(route)}))
    if route.names_grpc():
        require_order(placed, rank_of_grpc, kind="GRPCRoute")
    else:
        require_order(placed, dialect.rank)
    return [rule for _, rule in placed]


def require_order(
    placed: Sequence[tuple[str, Json]],
    rank: Ranks,
    *,
    of: str = "route.",
    remedy: str = "",
    kind: str = "HTTPRoute",
) -> None:
    """Raise ``BadInput`` for a rule that takes requests of an earlier one, as it is the more specific."""
    earlier: list[tuple[str, outbound.Match]] = []
    for where, rule in placed:
        matches = matches_of(rule, kind)
        for match in matches:
            for before, other in earlier:
                taken = before != where and rank(match) < rank(other)
                if taken and not _exclude_each_other(match, other):
                    problem = (
                        f"Gateway API tries the more specific match first, so {of}{where} would take"
                        f" requests of {of}{before}, which stands before it."
                    )
                    usual = (
                        f"Put {where} before {before}, or give {before} the conditions that tell them apart."
                    )
                    raise BadInput(f"{of}{where}", problem, remedy=remedy or usual)
        earlier += [(where, match) for match in matches]


def _exclude_each_other(one: outbound.Match, other: outbound.Match) -> bool:
    """Whether no request meets both, because they ask for two exact values of one thing, or other paths."""
    if one.path is not None and other.path is not None and _apart(one.path, other.path):
        return True
    pairs = [(one.method, other.method)]
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


def _apart(one: outbound.StringMatch, other: outbound.StringMatch) -> bool:
    """Whether no path meets both conditions, each an exact path or a prefix."""
    if {one.kind, other.kind} - {"exact", "segments", "prefix"}:
        return False
    return not (_takes(one, other.value) or _takes(other, one.value))


def _takes(condition: outbound.StringMatch, path: str) -> bool:
    root = condition.value.rstrip("/")
    if condition.kind == "prefix":
        return path.startswith(condition.value)
    if condition.kind == "exact":
        return condition.value == path
    return path.rstrip("/") == root or path.startswith(f"{root}/")


def _of_rule(route: Route, place: int, rule: Rule, dialect: Dialect) -> Iterator[Json]:
    """The rule of the HTTPRoute; one for each match where a prefix is replaced, as Gateway API asks for."""
    if rule.rewrite and rule.rewrite.prefix and len(rule.matches) > 1:
        for match in rule.matches:
            yield from _of_rule(route, place, rule.model_copy(update={"matches": (match,)}), dialect)
        return
    body: Json = {}
    if rule.matches:
        body["matches"] = [_match(match) for match in rule.matches]
    if filters := list(_filters(route, rule, dialect)):
        body["filters"] = filters
    if rule.split:
        body["backendRefs"] = _versions(route, whole_weights(route.in_order(rule.split)))
    elif rule.services:
        body["backendRefs"] = [
            {
                **_service(other.service, other.port),
                **_given({"namespace": other.namespace}),
                "weight": weight,
            }
            for other, weight in rule.weighted_services()
        ]
    if rule.redirect:
        yield body
    elif rule.timeout_s is None:
        yield {**body, **_of_route(route)}
    else:
        yield {**body, **_timeouts(f"route.rules[{place}].timeout_s", rule.timeout_s)}


def _of_route(route: Route) -> Json:
    """What a Route says for all of its rules; a GRPCRoute has no timeouts."""
    return {} if route.names_grpc() else _timeouts("route.timeout_s", route.timeout_s)


def _timeouts(field: str, timeout_s: float | None) -> Json:
    return {} if timeout_s is None else {"timeouts": {"request": gateway_duration(timeout_s, field)}}


def _versions(route: Route, weights: Mapping[str, int]) -> list[Json]:
    return [
        {**_service(backend_name(route.service, version), route.port), "weight": weight}
        for version, weight in weights.items()
    ]


def _service(name: str, port: int) -> Json:
    return {"group": "", "kind": "Service", "name": name, "port": port}


def _match(match: Match) -> Json:
    written: Json = {}
    if match.grpc:
        written["method"] = {"type": "Exact", **match.grpc.model_dump(exclude_none=True)}
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


def _filters(route: Route, rule: Rule, dialect: Dialect) -> Iterator[Json]:
    for side, edits in (("Request", rule.request_headers), ("Response", rule.response_headers)):
        if edits:
            yield {"type": f"{side}HeaderModifier", f"{side.lower()}HeaderModifier": _edits(edits, dialect)}
    if rule.redirect:
        yield {"type": "RequestRedirect", "requestRedirect": _redirect(rule.redirect)}
    if rule.rewrite:
        yield {"type": "URLRewrite", "urlRewrite": _rewrite(rule.rewrite)}
    if rule.mirror:
        yield {"type": "RequestMirror", "requestMirror": _mirror(route, rule.mirror)}


def _mirror(route: Route, mirror: Mirror) -> Json:
    """Where copies go. All are sent without a share; a share in percent is a whole number."""
    name = backend_name(route.service, mirror.version) if mirror.version else str(mirror.service)
    target = {"backendRef": _service(name, mirror.port or route.port)}
    share = Fraction(Decimal(str(mirror.percent)))
    if share == 100:
        return target
    if share.denominator == 1:
        return {**target, "percent": share.numerator}
    of_all = share / 100
    return {**target, "fraction": {"numerator": of_all.numerator, "denominator": of_all.denominator}}


def _edits(edits: HeaderEdits, dialect: Dialect) -> Json:
    def pairs(values: Mapping[str, str]) -> list[Json]:
        return [{"name": name, "value": dialect.literal(value)} for name, value in values.items()]

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
