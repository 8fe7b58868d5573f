"""The conditions on requests that decide about one host, to ask about each by an example request.

They are those of the caller's routes, and those of the servers that a route leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from meshkit.meshes.explain.witnesses import joined, witness
from meshkit.meshes.model.outbound import Match, Route
from meshkit.meshes.model.requests import Request

Probe = tuple[Match, Request]
"""Conditions, and a request that meets them."""


class Asked(NamedTuple):
    """Conditions, and those that decide about a request before them."""

    match: Match
    in_front: tuple[Match, ...]


def asked(routes: Sequence[Route], of_servers: Callable[[Route], Iterable[Match]]) -> tuple[Asked, ...]:
    """The conditions of routes and of the servers behind them, the general one last.

    ``of_servers`` returns the conditions of the servers that a route leads to. Of routes to the same
    destinations they are asked for once, within the first of these routes.
    """
    found: list[Asked] = []
    within: list[Asked] = []
    every: list[Match] = []
    passed: list[Match] = []
    places: set[frozenset[str | None]] = set()
    for route in routes:
        place = frozenset(backend.cluster for backend in route.backends)
        conditions = () if place in places else tuple(_conditional(of_servers(route)))
        places.add(place)
        every += conditions
        for number, match in enumerate(route.matches):
            front = tuple(passed)
            found.append(Asked(match, front))
            if number == 0 and conditions:
                within += _within(match, front, conditions)
            passed.append(match)
    general = Asked(Match(), (*_conditional(passed), *every))
    listed = (each for each in (*found, *within) if each.match != Match())
    return tuple(dict.fromkeys((*listed, general)))


def probes(
    questions: Iterable[Asked], host: str, port: int | None, beside: Iterable[Match] = ()
) -> tuple[Probe, ...]:
    """A request for each question, if possible one that meets nothing in front and nothing ``beside``."""
    others = tuple(_conditional(beside))
    found = []
    for match, in_front in questions:
        apart = (*in_front, *(each for each in others if each != match))
        found.append((match, witness(match, host, port, apart)))
    return tuple(dict.fromkeys(found))


def _within(match: Match, front: tuple[Match, ...], conditions: tuple[Match, ...]) -> list[Asked]:
    """The conditions of servers on requests of one route, and the rest of its requests."""
    found = []
    for each in conditions:
        both = joined(match, each)
        if both is not None:
            found.append(Asked(both, (*front, *(other for other in conditions if other != each))))
    return [*found, Asked(match, (*front, *conditions))]


def _conditional(matches: Iterable[Match]) -> Iterable[Match]:
    return dict.fromkeys(each for each in matches if each != Match())
