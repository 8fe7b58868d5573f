"""Change one thing of a Route: its shares, or one more match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.errors import BadInput
from meshkit.intent.rules import Match, Rule, TextMatch
from meshkit.intent.traffic import HeaderMatch, Route


def with_split(route: Route, split: Mapping[str, float]) -> Route:
    """The Route with other shares. Raises ``BadInput`` for versions that it does not have."""
    return _changed(route, split=dict(split))


def with_match(route: Route, match: Match, version: str, *, first: bool = False) -> Route:
    """The Route with one more match, whose requests all go to one version.

    It is tried after those that the Route has, or ``first``. Raises ``BadInput`` for conditions that the
    Route has already, as the new match would take no request, or those of the other.
    """
    short = _short(match, version) if not (first and route.rules) else None
    if short is None:
        rule = Rule(matches=(match,), split={version: 100})
        _require_new(route, match, first=first)
        return _changed(route, rules=(rule, *route.rules) if first else (*route.rules, rule))
    _require_new(route, match, first=first)
    return _changed(route, matches=(short, *route.matches) if first else (*route.matches, short))


def _short(match: Match, version: str) -> HeaderMatch | None:
    """The match as one of exactly one header value, if that is all it asks for."""
    ((name, text),) = match.headers.items() if len(match.headers) == 1 else (("", None),)
    if text is None or not text.exact or match != Match(headers=match.headers):
        return None
    if not name.replace("-", "").isalnum() or not name.isascii():
        return None
    return HeaderMatch(header=name, value=text.exact, version=version)


def _require_new(route: Route, match: Match, *, first: bool) -> None:
    """Raise ``BadInput`` for conditions that are there, unless the new match comes before them."""
    if first:
        return
    held = [(f"rules[{at}]", each) for at, rule in enumerate(route.rules) for each in rule.matches]
    held += [(f"matches[{at}]", _long(each)) for at, each in enumerate(route.matches)]
    for where, each in held:
        if _lower(each) == _lower(match):
            raise BadInput(
                f"route.{where}",
                "it has these conditions already, and the first one holds.",
                remedy="Put the new match before it with first=True (--first).",
            )


def _long(match: HeaderMatch) -> Match:
    return Match(headers={match.header: TextMatch(exact=match.value)})


def _lower(match: Match) -> Match:
    """The match with the names of its headers in lower case, which does not tell headers apart."""
    headers = {name.lower(): text for name, text in match.headers.items()}
    return match.model_copy(update={"headers": headers})


def _changed(route: Route, **changes: Any) -> Route:
    given = {name: getattr(route, name) for name in route.model_fields_set}
    return Route(**{**given, **changes})
