"""Plan a Route: a Service for each version, the circuit breaker, and an HTTPRoute or GRPCRoute.

Linkerd reads retries from annotations of the route, and the timeout of a GRPCRoute, which has no field for
it. On one port it serves one kind of route: those of gRPC before those of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshkit.errors import BadInput
from meshkit.facts import Need, Snapshot
from meshkit.intent.rules import Retries
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import POD, SERVICE
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api import grpc
from meshkit.meshes.gateway_api.durations import duration
from meshkit.meshes.gateway_api.routes import GRPC_ROUTE, HTTP_ROUTE, KINDS, kind_for, route_steps
from meshkit.meshes.gateway_api.rules import Dialect
from meshkit.meshes.gateway_api.versions import version_service
from meshkit.meshes.linkerd.meaning import services
from meshkit.meshes.linkerd.meaning.precedence import rank
from meshkit.meshes.linkerd.traffic import breakers, routable
from meshkit.meshes.routing.capabilities import Limits, refuse

_BY_GRPC = "Use grpc_statuses: Linkerd retries gRPC calls by these."
LIMITS: Mapping[str, Limits] = {
    HTTP_ROUTE.kind: {**routable.LIMITS, **grpc.NO_GRPC},
    GRPC_ROUTE.kind: {
        **routable.LIMITS,
        **grpc.LIMITS,
        "rules[].timeout_s": "Set timeout_s of the route: a GRPCRoute has one timeout.",
        "retries.on": _BY_GRPC,
        "retries.statuses": _BY_GRPC,
    },
}
"""The fields of a Route that Linkerd cannot carry out, by the kind of the object that carries it."""


def needs(route: Route) -> tuple[Need, ...]:
    """The objects that ``plan`` reads."""
    return tuple(Need(kind, route.namespace) for kind in (SERVICE, POD, *KINDS))


def plan(route: Route, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of a Route. Raises ``BadInput`` for what Linkerd would accept and not follow."""
    refuse(route, "Linkerd", LIMITS[kind_for(route).kind])
    breakers.require_readable(route)
    if route.retries:
        field = "retries.per_try_timeout_s"
        breakers.require_whole_milliseconds(field, route.retries.per_try_timeout_s)
    routable.refuse_void(route, snapshot)
    notes = _retry_annotations(route.retries)
    if kind_for(route) == GRPC_ROUTE:
        _require_grpc(route, snapshot)
        notes |= _timeout_annotation(route)
    breaker = breakers.breaker(route.outlier_detection)
    steps = [Step(version_service(route, version, snapshot, breaker)) for version in route.versions]
    return (*steps, *breakers.of_route(route, snapshot), *route_steps(route, notes, snapshot, Dialect(rank)))


def _require_grpc(route: Route, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` for a port that Linkerd reads no GRPCRoutes for."""
    grpc.require_statuses(route)
    service = snapshot.find(SERVICE.kind, route.service, route.namespace) or {"spec": {}}
    for port in service["spec"].get("ports") or ():
        if port["port"] == route.port and GRPC_ROUTE.kind not in services.kinds_of(service, port):
            name = f"{route.namespace}/{route.service}"
            problem = f"port {route.port} of Service {name} has appProtocol http: Linkerd reads no GRPCRoute."
            remedy = "Set appProtocol: kubernetes.io/h2c on the port, or leave it out."
            raise BadInput("route.port", problem, remedy=remedy)


def _timeout_annotation(route: Route) -> dict[str, str]:
    return {} if route.timeout_s is None else {"timeout.linkerd.io/request": duration(route.timeout_s)}


def _retry_annotations(retries: Retries | None) -> dict[str, str]:
    if retries is None or not retries.attempts:
        return {}
    conditions = {"http": ",".join((retries.on, *map(str, retries.statuses)))}
    if retries.grpc_statuses:
        conditions = {"grpc": ",".join(retries.grpc_statuses)}
    notes = {f"retry.linkerd.io/{protocol}": names for protocol, names in conditions.items()}
    notes["retry.linkerd.io/limit"] = str(retries.attempts)
    if retries.per_try_timeout_s is not None:
        notes["retry.linkerd.io/timeout"] = duration(retries.per_try_timeout_s)
    return notes
