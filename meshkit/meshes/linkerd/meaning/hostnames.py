"""The hostnames of a route, which in Linkerd hold on Services and Servers as well.

A request whose host none of them is goes past the route. Of two routes the one with the more specific host
comes first, whatever their other conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from meshkit.meshes.model.outbound import Match, NamedMatch, Object, StringMatch

Rank = tuple[int, int]
ANY: Rank = (2, 0)


def narrowed(item: Object, match: Match) -> Iterator[tuple[Rank, Match]]:
    """A match of a route for each of its hostnames, with the rank of the host; without any, as it is."""
    names = [str(name) for name in item["spec"].get("hostnames") or ()]
    if not names:
        yield ANY, match
    for name in names:
        suffix = name.removeprefix("*.")
        is_exact = suffix == name
        host = re.escape(name) if is_exact else rf".*\.{re.escape(suffix)}"
        condition = NamedMatch(":authority", StringMatch("regex", rf"(?i){host}\.?(:[0-9]+)?"))
        yield rank_of(name), replace(match, headers=(condition, *match.headers))


def rank_of(name: str) -> Rank:
    """Sorts the hostnames of routes: names before patterns, longer ones first."""
    suffix = name.removeprefix("*.")
    return (0 if suffix == name else 1, -len(suffix))
