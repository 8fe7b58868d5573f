"""Translate matches and header filters of Gateway API routes, which all meshes treat alike.

Of two routes that both match, the more specific one counts: exact paths, then longer ones, then a method,
more headers, more query parameters; then the older route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.facts import Kind
from meshkit.meshes.model.outbound import HeaderEdits, Match, MatchKind, NamedMatch, StringMatch

GROUP = "gateway.networking.k8s.io"
KINDS: Mapping[str, Kind] = {
    "httproutes": Kind(f"{GROUP}/v1", "HTTPRoute"),
    "grpcroutes": Kind(f"{GROUP}/v1", "GRPCRoute"),
}
ROUTES = {resource: (kind.group, kind.kind) for resource, kind in KINDS.items()}
"""Where routes are kept in the registry, and the group and kind each has there."""
_PATH_KINDS: Mapping[str, MatchKind] = {
    "Exact": "exact",
    "PathPrefix": "segments",
    "RegularExpression": "regex",
}
_PATH_RANK = {"exact": 0, "segments": 1, "prefix": 1, "regex": 2}
Rank = tuple[int, ...]


def matches_of(rule: Mapping[str, Any], kind: str) -> tuple[Match, ...]:
    """The matches of a rule of an HTTPRoute or GRPCRoute; a rule without any takes every request."""
    read = _grpc_match if kind == "GRPCRoute" else _http_match
    written: Iterable[Mapping[str, Any]] = rule.get("matches") or ({},)
    return tuple(read(match) for match in written)


def rank(match: Match) -> Rank:
    """Sorts matches by precedence. A match without a path is one of every call of a GRPCRoute, the last."""
    path = match.path
    return (
        _PATH_RANK[path.kind] if path else len(_PATH_RANK),
        -len(path.value) if path else 0,
        0 if match.method else 1,
        -len(match.headers),
        -len(match.query),
    )


def header_edits(filters: Iterable[Mapping[str, Any]] | None, side: str) -> HeaderEdits:
    """The first header filter of a side, ``Request`` or ``Response``; there can be only one."""
    kind, name = f"{side}HeaderModifier", f"{side.lower()}HeaderModifier"
    chosen = [entry.get(name) or {} for entry in filters or () if entry["type"] == kind]
    edits = chosen[0] if chosen else {}

    def pairs(key: str) -> tuple[tuple[str, str], ...]:
        return tuple((entry["name"], entry["value"]) for entry in edits.get(key) or ())

    return HeaderEdits(set=pairs("set"), add=pairs("add"), remove=tuple(edits.get("remove") or ()))


def _http_match(written: Mapping[str, Any]) -> Match:
    path = written.get("path") or {"type": "PathPrefix", "value": "/"}
    kind = _PATH_KINDS[path.get("type", "PathPrefix")]
    return Match(
        path=StringMatch(kind, path.get("value", "/")),
        method=StringMatch("exact", written["method"]) if written.get("method") else None,
        headers=tuple(_named(entry, lower=True) for entry in written.get("headers") or ()),
        query=tuple(_named(entry, lower=False) for entry in written.get("queryParams") or ()),
    )


def _grpc_match(written: Mapping[str, Any]) -> Match:
    """A gRPC call is a POST to ``/package.Service/Method``."""
    called = written.get("method") or {}
    service, method = called.get("service"), called.get("method")
    headers = tuple(_named(entry, lower=True) for entry in written.get("headers") or ())
    if called.get("type") == "RegularExpression":
        return Match(path=StringMatch("regex", f"/{service or '[^/]+'}/{method or '[^/]+'}"), headers=headers)
    if service and method:
        return Match(path=StringMatch("exact", f"/{service}/{method}"), headers=headers)
    if service:
        return Match(path=StringMatch("prefix", f"/{service}/"), headers=headers)
    if method:
        return Match(path=StringMatch("regex", f"/[^/]+/{re.escape(method)}"), headers=headers)
    return Match(headers=headers)


def _named(written: Mapping[str, Any], *, lower: bool) -> NamedMatch:
    kind: MatchKind = "regex" if written.get("type") == "RegularExpression" else "exact"
    name = written["name"].lower() if lower else written["name"]
    return NamedMatch(name, StringMatch(kind, written["value"]))
