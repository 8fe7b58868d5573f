"""Plan Gateway API routes. Only HTTPRoute v1 is used, which all mesh versions support alike."""

from __future__ import annotations

from typing import Any

from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step, Wait
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.gateway_api import rules

HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")
_ACCEPTED_TIMEOUT_S = 30


def route_name(service: str, route: str) -> str:
    """The HTTPRoute of one named route of a Service."""
    return f"{service}-{route}"


def route_step(route: Route, annotations: dict[str, str], snapshot: Snapshot, dialect: rules.Dialect) -> Step:
    """The step that applies the HTTPRoute of a Route and waits until its parent has accepted it.

    If nobody answers, as before the mesh is installed, the route stays.
    """
    return accepted_step(http_route(route, annotations, snapshot, dialect), unanswered=True)


def accepted_step(route: Object, *, unanswered: bool = False) -> Step:
    """The step that applies a route and waits until its parents have accepted it.

    With ``unanswered``, it is no failure if nobody answers.
    """
    return Step(route, wait=Wait("accepted", _ACCEPTED_TIMEOUT_S, unanswered))


def http_route(
    route: Route, annotations: dict[str, str], snapshot: Snapshot, dialect: rules.Dialect
) -> dict[str, Any]:
    """The HTTPRoute of a Route: its rules, one for each header match, then the split as the last."""
    written = rules.http_rules(route, dialect)
    return obj(
        HTTP_ROUTE,
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
    if snapshot.find(HTTP_ROUTE.kind, with_port, route.namespace):
        return with_port
    found = snapshot.find(HTTP_ROUTE.kind, name, route.namespace) or {}
    ports = [parent.get("port") for parent in (found.get("spec") or {}).get("parentRefs") or ()]
    return with_port if any(port not in (None, route.port) for port in ports) else name


def weighted_route(release: Release) -> WeightedRoute:
    """Where an HTTPRoute keeps the weights of a release. Rules have no names here: the route has one."""
    backends = {
        version: rules.backend_name(release.service, version) for version in (release.stable, release.canary)
    }
    return WeightedRoute(
        HTTP_ROUTE,
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
