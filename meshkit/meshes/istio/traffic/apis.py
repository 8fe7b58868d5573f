"""Choose the API that carries a Route: VirtualServices or Gateway API.

Two objects of both APIs for one Service do not join: only one of them rules. So a Route stays with the API
that is in use for the Service.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshkit.facts import Need, Object, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import NAMESPACE, POD, SERVICE
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api import routes as gateway_api
from meshkit.meshes.gateway_api.meaning.routes import attached
from meshkit.meshes.istio.ambient.waypoints import GATEWAY, Waypoints
from meshkit.meshes.istio.traffic import gateway, routes
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE
from meshkit.meshes.istio.traffic.routes import VIRTUAL_SERVICE
from meshkit.meshes.routing.capabilities import Limits, lacks

LIMITS: Mapping[str, Limits] = {
    "VirtualService": routes.LIMITS,
    "HTTPRoute": gateway.LIMITS,
    "GRPCRoute": gateway.GRPC_LIMITS,
}
"""What a Route cannot have, by the kind of the object that carries it."""


def needs(route: Route) -> tuple[Need, ...]:
    """The objects that ``plan`` reads."""
    here = (Need(kind, route.namespace) for kind in (SERVICE, POD, VIRTUAL_SERVICE, DESTINATION_RULE))
    there = (*gateway_api.KINDS, GATEWAY)
    return (
        *here,
        *(Need(kind, within=(route.namespace,), optional=True) for kind in there),
        Need(NAMESPACE, optional=True),
    )


def plan(route: Route, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of a Route by the API that it names, else by the one that suits the cluster."""
    by_api = gateway.plan if _is_for_gateway_api(route, snapshot) else routes.plan
    return by_api(route, snapshot)


def _is_for_gateway_api(route: Route, snapshot: Snapshot) -> bool:
    """Whether a route of Gateway API carries a Route.

    Without a word in the Route it does where one rules the Service and no VirtualService of meshkit's name
    does, and at a waypoint, where VirtualServices are alpha.
    """
    if route.api != "auto":
        return route.api == "gateway"
    if snapshot.find(VIRTUAL_SERVICE.kind, route.service, route.namespace):
        return False
    service = snapshot.find(SERVICE.kind, route.service, route.namespace) or _named(route)
    present = [each for kind in gateway_api.KINDS for each in snapshot.of(kind.kind, route.namespace)]
    if any(attached(each, service, route.port) for each in present):
        return True
    waypoints = snapshot.remembered(
        "waypoints", ("Gateway", "GatewayClass", "Namespace"), lambda seen: Waypoints.of(seen.objects)
    )
    at_waypoint = waypoints.of_service(service).works
    return at_waypoint and not lacks(route, gateway.limits_of(route))


def _named(route: Route) -> Object:
    return {"metadata": {"name": route.service, "namespace": route.namespace}}
