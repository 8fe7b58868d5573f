"""Renders the match conditions of a route: path, method, headers and query parameters."""

from __future__ import annotations

from meshkit.meshes.model.outbound import Match, NamedMatch, StringMatch
from meshkit.sandbox.dataplane.render.wire import JSON


def request_match(match: Match) -> JSON:
    """Render the conditions under which a route matches a request."""
    rendered: JSON = _path(match.path)
    headers = [_header(condition) for condition in match.headers]
    if match.method:
        headers.insert(0, {"name": ":method", "string_match": string_matcher(match.method)})
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


def _header(condition: NamedMatch) -> JSON:
    rendered = _named(condition)
    if condition.invert:
        rendered["invert_match"] = True
        if condition.match.kind != "present":
            rendered["treat_missing_header_as_empty"] = True
    return rendered


def _named(condition: NamedMatch) -> JSON:
    rendered: JSON = {"name": condition.name}
    if condition.match.kind == "present":
        rendered["present_match"] = True
    else:
        rendered["string_match"] = string_matcher(condition.match)
    return rendered


def string_matcher(match: StringMatch) -> JSON:
    """Render a string condition."""
    if match.kind == "regex":
        return {"safe_regex": {"regex": match.value}}
    if match.kind == "present":
        return {"safe_regex": {"regex": ".+"}}
    rendered: JSON = {match.kind: match.value}
    if match.ignore_case:
        rendered["ignore_case"] = True
    return rendered
