"""Checks for routes and matches of a VirtualService that earlier routes keep from ever being used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.matches import is_catch_all, match_of
from meshkit.meshes.model.outbound import Match, StringMatch

Json = Mapping[str, Any]
_OF_CALLERS = ("port", "gateways", "sourceNamespace")


def check(world: World) -> Iterator[Finding]:
    """Find routes and matches that are never used, routes that are not valid, and deprecated fields."""
    for item in world.registry.of("virtualservices"):
        yield from _unused(item)
        for index, entry in enumerate(item["spec"].get("http") or ()):
            for problem in _invalid(entry):
                message = f"spec.http[{index}]: {problem}."
                yield codes.finding(codes.INVALID_ROUTE, title(item), message)
            if ((entry.get("fault") or {}).get("delay") or {}).get("percent"):
                message = f"spec.http[{index}].fault.delay.percent is deprecated: use percentage."
                yield codes.finding(codes.DEPRECATED_FIELD, title(item), message)


def _unused(item: Object) -> Iterator[Finding]:
    taken: list[tuple[int, Json | None]] = []
    for index, entry in enumerate(item["spec"].get("http") or ()):
        written: Sequence[Json | None] = entry.get("match") or (None,)
        hidden = {place: _taken_by(taken, match) for place, match in enumerate(written)}
        by = [earlier for earlier in hidden.values() if earlier is not None]
        if len(by) == len(written):
            message = f"spec.http[{index}] is never used: spec.http[{by[0]}] takes its requests."
            yield codes.finding(codes.ROUTE_UNREACHABLE, title(item), message)
        else:
            for place, earlier in hidden.items():
                if earlier is not None:
                    message = f"spec.http[{index}].match[{place}] repeats a match of spec.http[{earlier}]."
                    yield codes.finding(codes.MATCH_DUPLICATE, title(item), message)
        if not entry.get("delegate"):
            taken += [(index, match) for match in written]


def _taken_by(taken: list[tuple[int, Json | None]], match: Json | None) -> int | None:
    """The earlier route that takes every request of a match."""
    return next((index for index, earlier in taken if _covers(earlier, match)), None)


def _covers(earlier: Json | None, later: Json | None) -> bool:
    first, second = earlier or {}, later or {}
    if any(first.get(name) not in (None, "", [], second.get(name)) for name in _OF_CALLERS):
        return False
    wanted, carried = first.get("sourceLabels") or {}, second.get("sourceLabels") or {}
    if any(carried.get(key) != value for key, value in wanted.items()):
        return False
    mine, other = match_of(first), match_of(second)
    return is_catch_all(mine) or _contains(mine, other)


def _contains(mine: Match, other: Match) -> bool:
    """Whether every condition of a match is one of the other's too, or wider."""
    if mine.method not in (None, other.method):
        return False
    if not set(mine.headers) <= set(other.headers) or not set(mine.query) <= set(other.query):
        return False
    return mine.path is None or (other.path is not None and _is_wider(mine.path, other.path))


def _is_wider(path: StringMatch, other: StringMatch) -> bool:
    if path == other:
        return True
    plain = path.kind == "prefix" and other.kind in ("exact", "prefix")
    if not plain or (other.ignore_case and not path.ignore_case):
        return False
    text = (other.value, path.value)
    longer, shorter = (each.lower() if path.ignore_case else each for each in text)
    return longer.startswith(shorter)


def _invalid(entry: Json) -> Iterator[str]:
    """What Istio's own validation refuses in a route, in words."""
    if not any(entry.get(name) for name in ("route", "redirect", "directResponse", "delegate")):
        yield "it has no route, redirect, directResponse or delegate"
    if entry.get("redirect") and entry.get("route"):
        yield "it has a redirect and a route"
    if entry.get("mirror") and entry.get("mirrors"):
        yield "it has mirror and mirrors"
    routes = entry.get("route") or ()
    if len(routes) > 1 and not any(each.get("weight") for each in routes):
        yield "the weights of its destinations are all 0"
    if any(int(each.get("weight") or 0) < 0 for each in routes):
        yield "a weight is negative"
    if (entry.get("retries") or {}).get("attempts", 0) < 0:
        yield "retries.attempts is negative"
