"""Plan one change of a Route: other shares, or one more match.

The Route is read back from the objects that meshkit wrote, or is given, as it was read from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput, Conflict, Forbidden, UnsupportedByMesh
from meshkit.facts import Need, Object
from meshkit.intent.editing.route_edits import with_match, with_split
from meshkit.intent.rules import Match
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import managers, title
from meshkit.kube.steps import RELEASE_MANAGER
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.ownership import MANAGER
from meshkit.meshes.routing.planned import needs_of, steps_of
from meshkit.meshes.routing.written import Written
from meshkit.operations.change import plan, plan_steps
from meshkit.operations.plan import Plan
from meshkit.operations.which_mesh import home_of, mesh_of

OPERATION = "route"
"""The operation under which the journal stores these changes."""
_FILE = "Change the Route in its file, and give the file with -f."
_Edit = Callable[[Route], Route]


def plan_split(
    service: str,
    split: Mapping[str, float],
    cluster: Cluster,
    *,
    port: int | None = None,
    route: Route | None = None,
    mesh: str | None = None,
) -> Plan:
    """Plan other shares for the Route of a Service, ``namespace/name``: ``{"v1": 90, "v2": 10}``.

    ``port`` is needed if Routes hold for several ports. With ``route``, that Route is changed and planned;
    without, the one that the cluster's objects were written from. Raises ``BadInput`` for objects that no
    Route wrote, and ``Conflict`` for those of others and while a release shifts the requests.
    """
    shares = " ".join(f"{name}={percent:g}" for name, percent in split.items())
    return _planned(service, port, cluster, mesh, route, lambda held: with_split(held, split), shares)


def plan_match(
    service: str,
    match: Match,
    version: str,
    cluster: Cluster,
    *,
    first: bool = False,
    port: int | None = None,
    route: Route | None = None,
    mesh: str | None = None,
) -> Plan:
    """Plan one more match for the Route of a Service, whose requests go to one version.

    It is tried after the others, or ``first``. Otherwise as ``plan_split``.
    """
    return _planned(
        service,
        port,
        cluster,
        mesh,
        route,
        lambda held: with_match(held, match, version, first=first),
        f"a match for {version}",
    )


def service_of(text: str) -> tuple[str, str]:
    """Namespace and name of a Service. Raises ``BadInput``."""
    namespace, _, name = text.partition("/")
    if not (namespace and name) or "/" in name:
        raise BadInput("service", f"{text!r} is not NAMESPACE/NAME.", remedy="Write it as shop/web.")
    return namespace, name


def _planned(
    service: str,
    port: int | None,
    cluster: Cluster,
    mesh: str | None,
    route: Route | None,
    edit: _Edit,
    what: str,
) -> Plan:
    namespace, name = service_of(service)
    row = registry.mesh(mesh_of(cluster, mesh, (namespace,)))
    held = _stored(namespace, name, port, cluster, row) if route is None else route
    wanted = edit(held)
    _require_no_release(wanted, cluster)
    found = plan(wanted, cluster, mesh=row.name)
    title = f"Route {namespace}/{name}, port {wanted.port}: {what}"
    return replace(found, what=title, operation=OPERATION, target=f"{namespace}/{name}:{wanted.port}")


def _stored(namespace: str, name: str, port: int | None, cluster: Cluster, row: Mesh) -> Route:
    """The Route that the objects of a Service were written from.

    Planned again it changes no request: only then nothing of it was lost in reading.
    """
    if row.written_routes is None:
        problem = f"meshkit reads no Routes back from objects of {row.title}."
        raise UnsupportedByMesh("service", problem, remedy=_FILE)
    seen = snapshot.read(cluster, (Need(SERVICE, namespace), *row.written_routes.needs(namespace)))
    if seen.find(SERVICE.kind, name, namespace) is None:
        raise BadInput("service", f"there is no Service {namespace}/{name}.", remedy="Correct the name.")
    written = _of_port(tuple(row.written_routes.routes(namespace, name, seen)), namespace, name, port)
    _require_ours(written.object)
    if written.route is None:
        raise BadInput("service", f"{written.problem}.", remedy=_FILE)
    _require_whole(written.route, written.object, cluster, row)
    return written.route


def _of_port(written: Sequence[Written], namespace: str, name: str, port: int | None) -> Written:
    """The one object that routes the port of a Service."""
    service = f"{namespace}/{name}"
    found = [each for each in written if port in (None, each.port)]
    if not found:
        there = f"port {port} of Service {service}" if port else f"Service {service}"
        problem = f"no Route of meshkit is for {there}; 'meshkit route show {service}' tells what routes it."
        remedy = "Plan a Route ('meshkit init Route'), or give its file with -f."
        raise BadInput("service", problem, remedy=remedy)
    ports = sorted({each.port or 0 for each in found})
    if len(ports) > 1:
        listed = " and ".join(str(each) if each else "any other" for each in ports)
        raise BadInput("port", f"Routes of {service} are for ports {listed}.", remedy="Name one with --port.")
    if len(found) > 1:
        listed = " and ".join(title(each.object) for each in found)
        raise BadInput("service", f"{listed} route port {ports[0]} of {service}.", remedy=_FILE)
    return found[0]


def _require_ours(route: Object) -> None:
    """Raise ``Conflict`` for an object of others, or whose weights a release manages."""
    owners = managers(route, "spec")
    if RELEASE_MANAGER in owners:
        raise _released(f"a release manages the weights of {title(route)}.")
    if MANAGER not in owners:
        who = ", ".join(dict.fromkeys(owners)) or "nobody that the object names"
        raise Conflict(
            f"service: {title(route)} is not of meshkit: it is managed by {who}.",
            remedy="Change it where it is managed. To shift its weights step by step, run a release, which"
            " changes nothing else of it.",
        )


def _require_whole(route: Route, of: Object, cluster: Cluster, row: Mesh) -> None:
    """Raise ``BadInput`` if planning the Route that was read back would change requests."""
    seen = snapshot.read(cluster, needs_of((route,), row, home_of(cluster, row)))
    steps = steps_of((route,), seen, row.planner)
    again = plan_steps(steps, cluster, Operation(OPERATION, row.name), what="")
    effects = again.effects
    if effects is None or not (effects.changed or effects.not_seen):
        return
    problem = f"{title(of)} has more than a Route of meshkit writes: {effects.lines[0]}."
    raise BadInput("service", problem, remedy=_FILE)


def _require_no_release(route: Route, cluster: Cluster) -> None:
    """Raise ``Conflict`` while a release of this port has not ended."""
    from meshkit.operations.release.listing import releases

    try:
        found = releases(cluster)
    except Forbidden:
        return  # who may not read the journal may not apply the plan; its weights name the release
    for one in found:
        same = (one.namespace, one.service, one.port) == (route.namespace, route.service, route.port)
        if same and not one.ended:
            raise _released(f"release {one.name} shifts the requests of {route.service}:{route.port}.")


def _released(problem: str) -> Conflict:
    return Conflict(
        f"service: {problem}",
        remedy="Let the release end, or end it with 'meshkit release promote' or 'meshkit release rollback'.",
    )
