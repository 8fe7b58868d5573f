"""Translate Istio's HTTPMatchRequest.

``port``, ``gateways``, ``sourceLabels`` and ``sourceNamespace`` are evaluated here, for the caller of the
configuration; the proxy evaluates the rest for each request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.outbound import Match, MatchKind, NamedMatch, StringMatch

Json = Mapping[str, Any]
FIELDS = {
    *("name", "uri", "ignoreUriCase", "method", "scheme", "authority", "headers", "withoutHeaders"),
    *("queryParams", "port", "sourceLabels", "sourceNamespace", "gateways", "statPrefix"),
}
TCP_FIELDS = {"port", "sourceLabels", "sourceNamespace", "gateways"}
CLAIMS = "@request.auth.claims"


def concerns(written: Json, caller: Caller, port: int) -> bool:
    """Whether a match can apply to this caller and port."""
    if int(written.get("port") or port) != port:
        return False
    if written.get("gateways"):
        return "mesh" in written["gateways"]
    if not caller.has(written.get("sourceLabels")):
        return False
    return written.get("sourceNamespace") in (None, "", caller.namespace)


def match_of(written: Json) -> Match:
    """The conditions on a request."""
    headers = [_named(name.lower(), value) for name, value in sorted((written.get("headers") or {}).items())]
    headers += [
        _named(name.lower(), value, invert=True)
        for name, value in sorted((written.get("withoutHeaders") or {}).items())
    ]
    headers += [_named(f":{name}", written[name]) for name in ("authority", "scheme") if written.get(name)]
    uri, method = written.get("uri"), written.get("method")
    return Match(
        path=text_match(uri, ignore_case=bool(written.get("ignoreUriCase"))) if uri else None,
        method=text_match(method) if method else None,
        headers=tuple(headers),
        query=tuple(
            _named(name, value) for name, value in sorted((written.get("queryParams") or {}).items())
        ),
    )


def is_catch_all(match: Match) -> bool:
    """Whether a match applies to every request, so that later routes are never reached."""
    every = match.path is None or (match.path.kind, match.path.value) in (("prefix", "/"), ("regex", ".*"))
    return every and not match.method and not match.headers and not match.query


def text_match(written: Json, *, ignore_case: bool = False) -> StringMatch:
    """exact, prefix or regex; nothing written, or the regex ``*``, asks only that there be something."""
    kinds: tuple[MatchKind, ...] = ("exact", "prefix", "regex")
    for kind in kinds:
        if kind in written and (kind, written[kind]) != ("regex", "*"):
            return StringMatch(kind, written[kind], ignore_case and kind != "regex")
    return StringMatch("present")


def _named(name: str, written: Json, *, invert: bool = False) -> NamedMatch:
    return NamedMatch(name, text_match(written), invert)
