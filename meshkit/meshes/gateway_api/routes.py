"""Plan Gateway API routes: HTTPRoute and GRPCRoute v1, which all mesh versions support alike.

A mesh may serve one of the kinds on a port, so a Route is one object: a GRPCRoute if it names methods or
statuses of gRPC, else an HTTPRoute.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step, Wait
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.gateway_api import rules
from meshkit.meshes.gateway_api.meaning.routes import attached
from meshkit.meshes.ownership import deletion_step, is_ours

HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")
GRPC_ROUTE = Kind("gateway.networking.k8s.io/v1", "GRPCRoute")
KINDS = (HTTP_ROUTE, GRPC_ROUTE)
_ACCEPTED_TIMEOUT_S = 30
_SETTLE_S = 1.0
"""How long proxies may take to learn of a route before the one that it replaces is removed."""


def route_name(service: str, route: str) -> str:
    """The HTTPRoute or GRPCRoute of one named route of a Service."""
    return f"{service}-{route}"


def kind_for(route: Route) -> Kind:
    """The kind of the object that carries a Route."""
    return GRPC_ROUTE if route.names_grpc() else HTTP_ROUTE


def route_steps(
    route: Route, annotations: dict[str, str], snapshot: Snapshot, dialect: rules.Dialect
) -> tuple[Step, ...]:
    """The steps that apply the object of a Route and wait until its parent has accepted it.

    If nobody answers, as before the mesh is installed, the route stays. An HTTPRoute that a Route of the same
    name wrote before it named anything of gRPC is removed then. Raises ``BadInput`` beside a GRPCRoute for a
    Route that needs none: its HTTPRoute would not be accepted.
    """
    written = gateway_route(route, annotations, snapshot, dialect)
    step = accepted_step(written, unanswered=True)
    other = HTTP_ROUTE if step.kind == GRPC_ROUTE else GRPC_ROUTE
    found = snapshot.find(other.kind, step.name, route.namespace)
    if found is None or not attached(found, _parent(route), route.port):
        return (step,)
    if other == GRPC_ROUTE:
        problem = f"{title(found)} carries the route {route.name}, and an HTTPRoute beside it would not hold."
        remedy = "Keep a match or a status of gRPC, or delete the GRPCRoute first: split holds for no request"
        raise BadInput("route.rules", problem, remedy=f"{remedy} until the Route is applied again.")
    return (replace(step, settle_s=_SETTLE_S), deletion_step(found)) if is_ours(found) else (step,)


def accepted_step(route: Object, *, unanswered: bool = False) -> Step:
    """The step that applies a route and waits until its parents have accepted it.

    With ``unanswered``, it is no failure if nobody answers.
    """
    return Step(route, wait=Wait("accepted", _ACCEPTED_TIMEOUT_S, unanswered))


def gateway_route(
    route: Route, annotations: dict[str, str], snapshot: Snapshot, dialect: rules.Dialect
) -> dict[str, Any]:
    """The object of a Route: its rules, one for each header match, then the split as the last."""
    written = rules.written_rules(route, dialect)
    return obj(
        kind_for(route),
        _name_for(route, snapshot),
        route.namespace,
        annotations=annotations,
        spec={
            "parentRefs": [{"group": "", "kind": "Service", "name": route.service, "port": route.port}],
            "rules": written,
        },
    )


def _name_for(route: Route, snapshot: Snapshot) -> str:
    """``<service>-<route name>``, with the port where a route for another port has that name."""
    name = route_name(route.service, route.name)
    with_port = f"{name}-{route.port}"
    if any(snapshot.find(each.kind, with_port, route.namespace) for each in KINDS):
        return with_port
    found = [snapshot.find(each.kind, name, route.namespace) or {} for each in KINDS]
    parents = [ref for each in found for ref in (each.get("spec") or {}).get("parentRefs") or ()]
    return with_port if any(ref.get("port") not in (None, route.port) for ref in parents) else name


def _parent(route: Route) -> Object:
    return {"metadata": {"name": route.service, "namespace": route.namespace}}


def weighted_route(release: Release, kind: Kind = HTTP_ROUTE) -> WeightedRoute:
    """Where a route keeps the weights of a release. Rules have no names here: the route has one."""
    backends = {
        version: rules.backend_name(release.service, version) for version in (release.stable, release.canary)
    }
    return WeightedRoute(
        kind,
        route_name(release.service, release.route_name),
        release.namespace,
        rules="rules",
        destinations="backendRefs",
        version_at=("name",),
        stable=backends[release.stable],
        canary=backends[release.canary],
        weight=1,
        services=backends,
    )
