"""The order of the rules of Gateway API routes, and rules that take no request because of it.

A rule is found where one earlier match takes everything that it could take. Several earlier matches that do
so together are not looked for, so what is found is always true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshkit.meshes.gateway_api.meaning.matches import Rank, matches_of
from meshkit.meshes.model.outbound import Match, Object, Problem, StringMatch

RULE_SHADOWED = "RuleShadowed"
ROUTE_SHADOWED = "RouteShadowed"
_EVERY_PATH = {StringMatch("segments", "/"), StringMatch("prefix", "/"), StringMatch("prefix", "")}


@dataclass(frozen=True)
class Ranked:
    """One match of a rule of a route; ``index`` is the position of its rule."""

    item: Object
    kind: str
    index: int
    match: Match


def ranked(items: Iterable[tuple[Object, str]], rank: Callable[[Match, str], Rank]) -> list[Ranked]:
    """The matches of all routes on one port in the order of precedence.

    ``items`` are the routes with their kinds, the oldest first; ``rank`` is the mesh's, of match and kind.
    """
    found = [
        ((*rank(match, kind), age, index), Ranked(item, kind, index, match))
        for age, (item, kind) in enumerate(items)
        for index, rule in enumerate(item["spec"].get("rules") or ())
        for match in matches_of(rule, kind)
    ]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def shadowed(matches: Sequence[Ranked], where: str) -> Iterator[Problem]:
    """The rules and whole routes without effect among all matches of a port, in order of precedence."""
    by: dict[tuple[int, int], Ranked | None] = {}
    for place, one in enumerate(matches):
        key = (id(one.item), one.index)
        first = next((each for each in matches[:place] if covers(each.match, one.match)), None)
        if key not in by:
            by[key] = first
        elif first is None:
            by[key] = None
    routes = {id(one.item): one for one in matches}
    for identity, one in routes.items():
        rules = {index: first for (owner, index), first in by.items() if owner == identity}
        yield from _of_route(one, rules, where)


def _of_route(one: Ranked, rules: dict[int, Ranked | None], where: str) -> Iterator[Problem]:
    others = [first for first in rules.values() if first is not None and first.item is not one.item]
    if len(others) == len(rules):
        message = f"it takes no request of {where}: {_name(others[0])}, which comes before it, takes them."
        yield Problem(one.item, ROUTE_SHADOWED, message)
        return
    for index, first in rules.items():
        if first is None:
            continue
        same = first.item is one.item
        by = f"spec.rules[{first.index}]" if same else f"{_name(first)}, rule {first.index},"
        yield Problem(
            one.item,
            RULE_SHADOWED,
            f"spec.rules[{index}] takes no request of {where}: {by} comes before it and takes them.",
        )


def _name(one: Ranked) -> str:
    meta = one.item["metadata"]
    return f"{one.kind} {meta['namespace']}/{meta['name']}"


def covers(first: Match, second: Match) -> bool:
    """Whether a match takes every request that the second one takes."""
    return (
        _covers_path(first.path, second.path)
        and first.method in (None, second.method)
        and set(first.headers) <= set(second.headers)
        and set(first.query) <= set(second.query)
    )


def _covers_path(first: StringMatch | None, second: StringMatch | None) -> bool:
    if first is None or first in _EVERY_PATH or first == second:
        return True
    if second is None or second.kind not in ("exact", "segments", "prefix"):
        return False
    if first.kind == "segments":
        root = first.value.rstrip("/")
        return second.kind != "prefix" and (second.value == root or second.value.startswith(f"{root}/"))
    return first.kind == "prefix" and second.value.startswith(first.value)
