"""Example requests that meet the conditions of a rule, to evaluate rules by requests.

A rule is judged by a request that only it takes: one that meets none of the conditions of the rules in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from meshkit.meshes.model.outbound import Match, NamedMatch, StringMatch
from meshkit.meshes.model.requests import Matching, NotKnown, Pairs, Request, holds

_OTHER = "~other"
"""A part of a path, or the value of a header, that no rule names."""
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "~OTHER")
_MOST_TRIES = 60
"""Requests that are tried to find one apart from other conditions."""


def witness(match: Match, host: str, port: int | None, apart: Iterable[Match] = ()) -> Request:
    """A request to a host that meets a match, and of the conditions ``apart`` as few as possible.

    Where both cannot be had at once, earlier ones of ``apart`` are avoided before later ones.
    """
    chosen = _found(_first(match, host, port), match, ()) or _first(match, host, port)
    avoided: list[Match] = []
    for other in apart:
        if _may_hold(other, chosen):
            better = _found(chosen, match, (*avoided, other))
            if better is None:
                continue
            chosen = better
        avoided.append(other)
    return chosen


def joined(one: Match, other: Match) -> Match | None:
    """The conditions of two matches as one; None if no path or method meets both, as far as can be told."""
    path, method = _narrower(one.path, other.path), _narrower(one.method, other.method)
    if (one.path and other.path and path is None) or (one.method and other.method and method is None):
        return None
    headers = tuple(dict.fromkeys((*one.headers, *other.headers)))
    return Match(path, method, headers, tuple(dict.fromkeys((*one.query, *other.query))))


def _narrower(one: StringMatch | None, other: StringMatch | None) -> StringMatch | None:
    """The condition of two of which an example meets both."""
    if one is None or other is None or one == other:
        return one or other
    for chosen, rest in ((other, one), (one, other)):
        try:
            if holds(Match(path=rest), Request("", path=_path(chosen))):
                return chosen
        except NotKnown:
            continue
    return None


def _first(match: Match, host: str, port: int | None) -> Request:
    """A request with what a match names, and nothing else."""
    headers = [(each.name, _text(each.match)) for each in match.headers if not each.invert]
    return Request(
        host,
        port,
        method=_text(match.method) if match.method else "GET",
        path=_path(match.path),
        query=tuple((each.name, _text(each.match)) for each in match.query if not each.invert),
        headers=tuple((name, value) for name, value in headers if not name.startswith(":")),
    )


def _found(start: Request, match: Match, apart: Sequence[Match]) -> Request | None:
    """A request near ``start`` that meets a match and nothing of ``apart``; None if none is found."""
    waiting, tried = [start], {start}
    while waiting:
        request = waiting.pop()
        meets = _may_hold(match, request)
        wrong = next((each for each in apart if _may_hold(each, request)), None) if meets else match
        if wrong is None:
            return request
        for other in _changed(request, wrong, match):
            if len(tried) < _MOST_TRIES and other not in tried and (not meets or _may_hold(match, other)):
                tried.add(other)
                waiting.append(other)
    return None


def _may_hold(match: Match, request: Request) -> bool:
    try:
        return holds(match, request)
    except NotKnown:
        return True


def _changed(request: Request, wrong: Match, match: Match) -> Iterator[Request]:
    """The request with one of the parts changed that ``wrong`` has a condition on; the best come last."""
    for each in wrong.query:
        for pairs in _otherwise(request.query, each):
            yield replace(request, query=pairs)
    names = {each.name for each in wrong.headers}
    if wrong.path or ":path" in names:
        for path in _paths(match.path):
            yield replace(request, path=path)
    if wrong.method or ":method" in names:
        for method in reversed(_METHODS):
            yield replace(request, method=method)
    for each in wrong.headers:
        if not each.name.startswith(":"):
            for pairs in _otherwise(request.headers, each):
                yield replace(request, headers=pairs)


def _otherwise(pairs: Pairs, condition: NamedMatch) -> Iterator[Pairs]:
    """Headers or query parameters with another value of one, or without it."""
    rest = tuple(pair for pair in pairs if pair[0].lower() != condition.name.lower())
    for value in (_text(condition.match), _OTHER):
        yield (*rest, (condition.name, value))
    yield rest


def _paths(match: StringMatch | None) -> list[str]:
    """Some paths that may meet a condition."""
    if match is None or match.kind == "present":
        return ["/", f"/{_OTHER}/{_OTHER}", f"/{_OTHER}"]
    if match.kind in ("prefix", "segments"):
        return [f"{match.value}{_OTHER}", match.value, f"{match.value.rstrip('/')}/{_OTHER}"]
    if match.kind == "suffix":
        return [match.value, f"/{_OTHER}/{_OTHER}{match.value}"]
    return []


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
