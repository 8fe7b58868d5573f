"""Plan a Route as an HTTPRoute or GRPCRoute, with a Service and the policies of its own for each version.

Gateway API has no subsets: a version is a Service, and a DestinationRule of that Service has its policies.
Requests to a Service that proxies do not know yet fail, so the Services come before the rules, and the
proxies get time to learn of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.intent.traffic import Route, Version
from meshkit.kube import manifests
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api import grpc
from meshkit.meshes.gateway_api.meaning.matches import rank
from meshkit.meshes.gateway_api.routes import GRPC_ROUTE, kind_for, route_steps
from meshkit.meshes.gateway_api.rules import Dialect, backend_name
from meshkit.meshes.gateway_api.versions import version_service
from meshkit.meshes.istio.traffic import settings as of_destinations
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE, Settings
from meshkit.meshes.istio.traffic.routes import SETTLE_S, VIRTUAL_SERVICE, refuse_tcp
from meshkit.meshes.istio.traffic.rules import literal
from meshkit.meshes.ownership import is_ours
from meshkit.meshes.routing.capabilities import Limits, refuse

_OTHER_API = "or set api: mesh"
_FAILING = f"Send a share to a version that fails on purpose, {_OTHER_API}."
_RETRIES = f"Leave it out: Istio retries a failed connection twice; {_OTHER_API}."
_CALLER = f"Set a header in the calling program and match it with exact or regex, {_OTHER_API}."
_PREFIX = f"Use regex, such as 'beta-.*', {_OTHER_API}."

DIALECT = Dialect(rank, literal)
LIMITS: Limits = {
    "protocol: tcp": "Set api: mesh: this kind of route is of requests.",
    "fault": _FAILING,
    "retries": _RETRIES,
    "rules[].fault": _FAILING,
    "rules[].retries": _RETRIES,
    "rules[].respond": f"Send these requests to a Service that answers so, {_OTHER_API}.",
    "rules[].cors": f"Let the destination answer cross-origin requests, {_OTHER_API}.",
    "rules[].matches[].path.regex": f"Use exact or prefix: Istio tries these first, / too; {_OTHER_API}.",
    "rules[].matches[].source_labels": _CALLER,
    "rules[].matches[].source_namespace": _CALLER,
    "rules[].matches[].headers.*.prefix": _PREFIX,
    "rules[].matches[].headers.*.present: False": "Put a rule for requests that have the header before it,"
    f" {_OTHER_API}.",
    "rules[].matches[].query.*.prefix": _PREFIX,
    "rules[].matches[].query.*.present: False": "Put a rule for requests that have the parameter before it.",
    **grpc.NO_GRPC,
    **of_destinations.LIMITS,
}
"""The fields of a Route that Istio cannot carry out by an HTTPRoute, each with what it can do instead."""
GRPC_LIMITS: Limits = {
    **grpc.without(LIMITS),
    **{place: f"{instead[:-1]}, {_OTHER_API}." for place, instead in grpc.LIMITS.items()},
    "timeout_s": f"Let callers set deadlines, {_OTHER_API}.",
}
"""The fields of a Route that Istio cannot carry out by a GRPCRoute, likewise."""


def limits_of(route: Route) -> Limits:
    """The limits of the kind of object that carries a Route."""
    return GRPC_LIMITS if kind_for(route) == GRPC_ROUTE else LIMITS


def plan(route: Route, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of a Route: the Services of the versions and their policies, then the route.

    Raises ``BadInput`` for a port that Istio treats as plain TCP, for rules whose order Gateway API would not
    keep, and beside the VirtualService of a Route.
    """
    what = "A GRPCRoute" if kind_for(route) == GRPC_ROUTE else "An HTTPRoute"
    refuse(route, what, limits_of(route))
    refuse_tcp(route, snapshot)
    _refuse_beside_another(route, snapshot)
    rules = route_steps(route, {}, snapshot, DIALECT)
    *first, last = (
        *(Step(version_service(route, version, snapshot)) for version in route.versions),
        *(step for version in route.versions for step in _policies(route, version, snapshot)),
    )
    return (*first, replace(last, settle_s=SETTLE_S), *rules)


def _refuse_beside_another(route: Route, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` where a VirtualService, as a Route writes it, routes the Service."""
    if snapshot.find(VIRTUAL_SERVICE.kind, route.service, route.namespace):
        place = f"{route.namespace}/{route.service}"
        problem = (
            f"VirtualService {place} routes this Service, and Istio does not merge it with an HTTPRoute."
        )
        remedy = f"Move it to Gateway API first ('meshkit convert {place}'), or leave api out."
        raise BadInput("route.api", problem, remedy=remedy)


def _policies(route: Route, version: Version, snapshot: Snapshot) -> Iterator[Step]:
    """The DestinationRule of a version's Service, where there is a policy, or was one.

    Policies that another Route gave to another port stay, and those of a DestinationPolicy of the Service
    hold for its versions.
    """
    name = backend_name(route.service, version.name)
    present = snapshot.find(DESTINATION_RULE.kind, name, route.namespace)
    of_service = Settings.of(snapshot.find(DESTINATION_RULE.kind, route.service, route.namespace))
    others = Settings.of(present).routes
    settings = replace(of_service.of_policies, routes=others).with_route(route, others)
    spec: dict[str, Any] = {"host": name}
    if policy := settings.traffic_policy():
        spec["trafficPolicy"] = policy
    elif present is None or not is_ours(present):
        return
    notes = settings.annotations()
    yield Step(manifests.obj(DESTINATION_RULE, name, route.namespace, annotations=notes, spec=spec))
