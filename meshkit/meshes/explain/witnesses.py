"""Example requests that meet the conditions of a rule, to evaluate rules by requests."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.meshes.model.inbound import Condition, Inbound
from meshkit.meshes.model.outbound import Match, NamedMatch, StringMatch
from meshkit.meshes.model.requests import Matching, Request

_OTHER = "~other"
"""A part of a path that no rule names."""


def witness(match: Match, host: str, port: int | None) -> Request:
    """A request to a host that meets the conditions of a match, and as few others as possible."""
    headers = [(each.name, _text(each.match)) for each in match.headers if not each.invert]
    return Request(
        host,
        port,
        method=_text(match.method) if match.method else "GET",
        path=_path(match.path),
        query=tuple((each.name, _text(each.match)) for each in match.query if not each.invert),
        headers=tuple((name, value) for name, value in headers if not name.startswith(":")),
    )


def operations(inbound: Inbound | None) -> Iterator[Match]:
    """The conditions on requests that the routes and policies of a server name, each as a match."""
    for route in inbound.routes if inbound else ():
        yield route.match
        rules = route.authorization
        for policy in (*rules.deny, *(rules.allow or ())):
            for rule in policy.rules:
                for operation in rule.operations:
                    yield from _matches((*operation, *rule.when))


def _matches(conditions: tuple[Condition, ...]) -> Iterator[Match]:
    """One match for each value of the first condition on a path, method or header, with the others' first."""
    named = [each for each in conditions if each.subject in ("path", "method", "header") and each.values]
    if not named:
        return
    for value in named[0].values:
        match = Match()
        for condition in named:
            chosen = value if condition is named[0] else condition.values[0]
            if condition.inverted:
                continue
            match = _with(match, condition, chosen)
        if match != Match():
            yield match


def _with(match: Match, condition: Condition, value: StringMatch) -> Match:
    if condition.subject == "path":
        return Match(value, match.method, match.headers, match.query)
    if condition.subject == "method":
        return Match(match.path, value, match.headers, match.query)
    headers = (*match.headers, NamedMatch(condition.name, value))
    return Match(match.path, match.method, headers, match.query)


def _path(match: StringMatch | None) -> str:
    if match is None or match.kind == "present":
        return f"/{_OTHER}"
    if match.kind in ("prefix", "segments"):
        return f"{match.value.rstrip('/')}/{_OTHER}"
    if match.kind == "suffix":
        return f"/{_OTHER}{match.value}"
    return _text(match)


def _text(match: StringMatch) -> str:
    if match.kind == "regex":
        return Matching(match.value)
    return match.value if match.kind != "present" else _OTHER
