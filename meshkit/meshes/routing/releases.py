"""Find the live route of a release, whoever wrote it: the object that rules the requests to its port.

An object is found by the meaning of the Snapshot, not by a name. Where several could be meant, the release
has to name one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Need, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import PRIMARY
from meshkit.kube.kinds import NODE
from meshkit.kube.metadata import title
from meshkit.meshes.base import Edge, Mesh, WeightedRoute
from meshkit.meshes.gateway_api import routes as gateway_api
from meshkit.meshes.routing import destinations, live
from meshkit.meshes.routing.live import Port, callers_in, held, objects_named, owners


def needs(row: Mesh, release: Release, home: str) -> Iterator[Need]:
    """What ``live_route`` reads: as far as the account may. ``home`` is the control plane's namespace."""
    yield from live.needs(row, release.namespace, home)
    yield from destinations.needs(row, release.namespace)
    if NODE not in row.meaning.KINDS.values():
        yield Need(NODE, optional=True)


def live_route(release: Release, snapshot: Snapshot, row: Mesh) -> WeightedRoute:
    """The rule whose weights a release moves.

    It is in the object that the release names, else where a Route writes it, else in the only object that
    rules the port and has both versions. Where no object rules the port, it is where a Route would write it.
    Raises ``BadInput`` if several could be meant, if the one that rules the port does not fit, or if proxies
    follow no route there.
    """
    row.planner.require_followed(release, snapshot)
    port = Port(release.namespace, release.service, release.port)
    ruling = owners(held(port, snapshot, row), row, snapshot)
    usual = row.planner.weighted_route(release)
    usual_places = (usual, *(gateway_api.weighted_route(release, kind) for kind in gateway_api.KINDS))
    found = [each for obj in ruling for each in row.planner.splits(release, obj, snapshot)]
    if release.route_object is not None:
        return _named(release, ruling, found, port)
    fitting = [each for each in found if any(_same_place(each, place) for place in usual_places)]
    if not fitting and release.route == PRIMARY:
        fitting = found
    chosen = _whole(fitting)
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        places = _references(chosen, ruling)
        raise BadInput(
            "release.route",
            f"the requests to {port} are split in several places: {', '.join(places)}.",
            remedy=f"Name one of them, such as route: {places[0]}.",
        )
    if not ruling:
        return usual
    for place in usual_places:
        if any(_is(obj, place) for obj in ruling):
            return place
    raise _unfit(release, ruling, port)


def live_routes(release: Release, snapshot: Snapshot, row: Mesh) -> tuple[WeightedRoute, Edge]:
    """The rule for callers in the mesh whose weights a release moves, and those at gateways beside it.

    Where no object rules the requests of callers in the mesh, the first rule at a gateway takes the place of
    theirs, unless the release names another. Raises ``BadInput`` as ``live_route`` does.
    """
    edge = row.planner.edge(release, snapshot)
    port = Port(release.namespace, release.service, release.port)
    inside = owners(held(port, snapshot, row), row, snapshot)
    if not inside and (first := next((rule for rule in edge.rules if _is_meant(rule, release)), None)):
        row.planner.require_followed(release, snapshot)
        told = (
            f"No route rules the requests of callers in the mesh to {port}; the release does not shift them."
        )
        rest = tuple(rule for rule in edge.rules if rule != first)
        return first, replace(edge, rules=rest, unmoved=(told, *edge.unmoved))
    route = live_route(release, snapshot, row)
    return route, replace(edge, rules=tuple(rule for rule in edge.rules if not same_rule(rule, route)))


def same_rule(one: WeightedRoute, other: WeightedRoute) -> bool:
    """Whether two places are the same rule of the same object."""
    return str(one) == str(other) and (one.rule, one.conditions) == (other.rule, other.conditions)


def _is_meant(rule: WeightedRoute, release: Release) -> bool:
    """Whether a release means a rule: it names no object, or this one."""
    kind, namespace, name = release.route_object or (rule.kind.kind, rule.namespace, rule.name)
    of_object = str(rule) == f"{kind} {namespace}/{name}"
    return of_object and release.route_rule in (None, rule.rule)


def unmoved(release: Release, route: WeightedRoute, snapshot: Snapshot, row: Mesh) -> tuple[str, ...]:
    """A sentence for each object that rules the requests of some callers beside the route of a release.

    One more names what the account may not read.
    """
    port = Port(release.namespace, release.service, release.port)
    aside: dict[str, list[str]] = {}
    for each in held(port, snapshot, row):
        if all(one.ruler != str(route) for one in each.routes):
            for name in {one.ruler for one in each.routes if one.ruler}:
                aside.setdefault(name, []).extend(each.namespaces)
    told = [
        f"{title(obj)} rules the requests of {callers_in(namespaces)}; the release does not shift them."
        for name, namespaces in aside.items()
        for obj in objects_named(name, row, snapshot)
    ]
    if unread := [each for each in snapshot.unread if each.partition(" ")[0] != NODE.kind]:
        listed = ", ".join(unread)
        told.append(f"This account may not read {listed}: routes of others can be overlooked.")
    return tuple(told)


def _named(
    release: Release, ruling: Sequence[Object], found: Sequence[WeightedRoute], port: Port
) -> WeightedRoute:
    """The rule of the object that the release names."""
    kind, namespace, name = release.route_object or ("", "", "")
    wanted = f"{kind} {namespace}/{name}"
    here = [each for each in found if str(each) == wanted]
    fitting = [each for each in here if release.route_rule in (None, each.rule, _number(each, ruling))]
    chosen = _whole(fitting)
    if len(chosen) == 1:
        return chosen[0]
    if not any(title(obj) == wanted for obj in ruling):
        rules = f"; {' and '.join(map(title, ruling))} does" if ruling else ""
        remedy = f"Name the object that does, as KIND/NAMESPACE/NAME{_or_leave_it(ruling)}."
        raise BadInput(
            "release.route", f"{wanted} does not rule the requests to {port}{rules}.", remedy=remedy
        )
    if chosen:
        listed = ", ".join(_references(chosen, ruling))
        problem = f"{wanted} splits the requests to {port} in several rules: {listed}."
        raise BadInput("release.route", problem, remedy="Name one: KIND/NAMESPACE/NAME/RULE.")
    if here:
        problem = f"{wanted} has no rule {release.route_rule} with both versions."
        raise BadInput(
            "release.route", problem, remedy=f"Name one of {', '.join(_references(here, ruling))}."
        )
    raise _unfit(release, [obj for obj in ruling if title(obj) == wanted], port)


def _or_leave_it(ruling: Sequence[Object]) -> str:
    return ", or leave the field out" if ruling else ""


def _unfit(release: Release, ruling: Sequence[Object], port: Port) -> BadInput:
    """The error for a port whose requests are ruled, but not split between both versions."""
    name = title(ruling[0])
    return BadInput(
        "release.route",
        f"{name} rules the requests to {port}, and no rule of it has a destination for each of"
        f" {release.stable} and {release.canary}.",
        remedy=f"Add both to {name} as destinations, {release.stable} with weight 100 and {release.canary}"
        " with weight 0; the release then finds it by its host and changes only these weights.",
    )


def _same_place(each: WeightedRoute, usual: WeightedRoute) -> bool:
    return str(each) == str(usual) and usual.rule in (None, each.rule)


def _is(obj: Object, usual: WeightedRoute) -> bool:
    return title(obj) == str(usual)


def _whole(routes: Sequence[WeightedRoute]) -> list[WeightedRoute]:
    """The rules for every request where there are any: a rule with conditions is for some requests only."""
    whole = [route for route in routes if all(map(_is_every_request, route.conditions or ()))]
    return whole or list(routes)


def _is_every_request(match: Mapping[str, Any]) -> bool:
    """Whether a match has no condition; an API server writes this path where a rule has no match.

    A rule of a VirtualService that names gateways is among those for callers in the mesh by naming these.
    """
    conditions = {name: value for name, value in match.items() if name not in ("port", "gateways")}
    return conditions in ({}, {"path": {"type": "PathPrefix", "value": "/"}})


def _reference(route: WeightedRoute) -> str:
    rule = f"/{route.rule}" if route.rule else ""
    return f"{route.kind.kind}/{route.namespace}/{route.name}{rule}"


def _references(routes: Sequence[WeightedRoute], ruling: Sequence[Object]) -> list[str]:
    """Each rule as a release names it; several of one object without names by their numbers."""
    plain = [_reference(each) for each in routes]
    return [
        f"{text}/{_number(each, ruling)}" if plain.count(text) > 1 else text
        for text, each in zip(plain, routes, strict=True)
    ]


def _number(route: WeightedRoute, ruling: Iterable[Object]) -> str:
    """The number of a rule in its object, from 0; empty if it is not there."""
    for obj in ruling:
        if title(obj) == str(route) and obj["apiVersion"] == route.kind.api_version:
            for number, rule in enumerate(obj["spec"].get(route.rules) or ()):
                conditions = rule.get("match") or rule.get("matches") or []
                if (rule.get("name"), conditions) == (route.rule, route.conditions):
                    return str(number)
    return ""
