"""Find the routes of others that keep requests from a planned Route, by the meaning of both together.

The planned objects are added to the Snapshot. What rules a caller's requests then is asked of the mesh's
meaning, so age, visibility, gateways, ports and matches count as the mesh counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import permutations

from meshkit import codes
from meshkit.facts import Finding, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import title
from meshkit.meshes.base import Mesh
from meshkit.meshes.model.outbound import Match
from meshkit.meshes.model.outbound import Route as HeldRoute
from meshkit.meshes.routing import destinations
from meshkit.meshes.routing.live import Held, Port, callers_in, every, held, is_route, objects_named
from meshkit.meshes.routing.planned import after


def check(route: Route, snapshot: Snapshot, row: Mesh) -> Iterator[Finding]:
    """Find the objects that keep requests from a planned route: those of all callers, or of some."""
    if snapshot.unread:
        message = f"this account may not read {', '.join(snapshot.unread)}."
        yield codes.finding(codes.ROUTES_UNSEEN, "route.service", message)
    steps = row.planner.plan(route, snapshot)
    written = [step.object for step in steps if step.kind in row.kinds.routes]
    planned = after(snapshot, steps)
    port = Port(route.namespace, route.service, route.port)
    versions = {version.name: version.pod_labels() for version in route.versions}
    policies = [name for name in destinations.POLICIES if getattr(route, name) is not None]
    own = destinations.rules_of(steps, planned)
    yield from destinations.findings(port, own, versions, policies, planned, row)
    found = [(each, _keeper(each, written)) for each in held(port, planned, row)]
    for ruler in dict.fromkeys(keeper for _, keeper in found if keeper):
        callers = callers_in(name for each, keeper in found if keeper == ruler for name in each.namespaces)
        others = any(keeper != ruler for _, keeper in found)
        for obj in objects_named(ruler, row, planned):
            yield _finding(obj, port, callers, only_some=others, remedy=_way(route, obj, planned, row))


def _keeper(each: Held, written: Iterable[Object]) -> str:
    """The object whose route takes requests that a written object asks for; empty if none does."""
    ours = set(map(title, written))
    holds, before = False, list[HeldRoute]()
    for route in each.routes:
        if route.ruler not in ours:
            before.append(route)
            continue
        holds = True
        for other in before:
            if any(_takes(other, match) for match in route.matches):
                return other.ruler
    if holds:
        return ""
    whole = [route for route in before if any(map(every, route.matches))]
    return next((route.ruler for route in (*whole, *before)), "")


def _takes(route: HeldRoute, match: Match) -> bool:
    """Whether a route takes every request that meets a match."""
    return any(every(own) or own == match for own in route.matches)


def _way(route: Route, obj: Object, planned: Snapshot, row: Mesh) -> str:
    """How to get what the route asks for by way of the object that rules."""
    if route.api == "gateway" and row.conversion and obj["kind"] == row.kinds.route.kind:
        place = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        return f"Move it to Gateway API first ('meshkit convert {place}'), or leave api out."
    if not is_route(obj):
        return "Move its retries and timeouts into the Route. Without routes and dstOverrides it is void."
    for stable, canary in permutations([version.name for version in route.versions], 2):
        release = Release(
            name=route.service,
            namespace=route.namespace,
            service=route.service,
            port=route.port,
            stable=stable,
            canary=canary,
        )
        if any(row.planner.splits(release, obj, planned)):
            return (
                f"Release through it ('meshkit release run'): a Release of {route.service} from {stable} to"
                f" {canary} finds it by its host and changes only its weights."
            )
    return (
        f"Let {title(obj)} split these requests between the versions, with weights such as 100 and 0: a"
        " Release then finds it by its host and changes only its weights."
    )


def _finding(obj: Object, port: Port, callers: str, *, only_some: bool, remedy: str) -> Finding:
    message = f"{title(obj)} already rules the requests to {port} from {callers}"
    if only_some:
        message += "; the planned route holds for other callers only."
        return codes.finding(
            codes.HOST_ROUTED_ELSEWHERE, "route.service", message, remedy, severity="warning"
        )
    message += ", and the planned route would have no effect beside it."
    return codes.finding(codes.HOST_ROUTED_ELSEWHERE, "route.service", message, remedy)
