"""Plan Gateway API routes. Only HTTPRoute v1 is used, which all mesh versions support alike."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import HeaderMatch, Route
from meshkit.kube.manifests import obj
from meshkit.meshes.base import WeightedRoute

_UNITS = (("s", Decimal(1)), ("ms", Decimal("0.001")), ("m", Decimal(60)), ("h", Decimal(3600)))
_MOST_OF_A_UNIT = 99999
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")


def backend_name(service: str, version: str) -> str:
    """The name of a version's Service, which is needed because Gateway API has no subsets."""
    return f"{service}-{version}"


def route_name(service: str, route: str) -> str:
    """The HTTPRoute of one named route of a Service."""
    return f"{service}-{route}"


def http_route(route: Route, annotations: dict[str, str], snapshot: Snapshot) -> dict[str, Any]:
    """The HTTPRoute of a Route: a rule for each header match, then the split as the last."""
    rules = [_header_rule(route, match) for match in route.matches]
    rules.append({"backendRefs": _backends(route, tuple(route.weights().items()))})
    if route.timeout_s is not None:
        timeout = gateway_duration(route.timeout_s, "route.timeout_s")
        for rule in rules:
            rule["timeouts"] = {"request": timeout}
    return obj(
        HTTP_ROUTE,
        _name_for(route, snapshot),
        route.namespace,
        annotations=annotations,
        spec={
            "parentRefs": [{"group": "", "kind": "Service", "name": route.service, "port": route.port}],
            "rules": rules,
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
        version: backend_name(release.service, version) for version in (release.stable, release.canary)
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


def _header_rule(route: Route, match: HeaderMatch) -> dict[str, Any]:
    header = {"type": "Exact", "name": match.header, "value": match.value}
    return {
        "matches": [{"headers": [header]}],
        "backendRefs": _backends(route, ((match.version, 1),)),
    }


def _backends(route: Route, weights: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    return [
        {
            "group": "",
            "kind": "Service",
            "name": backend_name(route.service, version),
            "port": route.port,
            "weight": weight,
        }
        for version, weight in weights
    ]


def gateway_duration(seconds: float, field: str) -> str:
    """Seconds as one whole number of at most five digits and one unit, the form that every mesh reads alike.

    Gateway API (GEP-2257) also allows ``100s500ms``, in which Linkerd sees no timeout at all. Raises
    ``BadInput`` for ``field`` if no single unit can say it.
    """
    exact = Decimal(str(seconds))
    for unit, length_s in _UNITS:
        number = exact / length_s
        if number == int(number) and 0 < number <= _MOST_OF_A_UNIT:
            return f"{int(number)}{unit}"
    raise BadInput(
        field,
        f"{seconds} s is not a whole number of one unit (h, m, s or ms) of at most five digits, and Linkerd"
        " takes any other duration for no timeout.",
        remedy="Use whole milliseconds up to 99.999 s, and whole seconds, minutes or hours above.",
    )


def duration(seconds: float) -> str:
    """Seconds as Istio and Linkerd's annotations read them: whole ``s`` or ``ms``, never a fraction."""
    milliseconds = int(Decimal(str(seconds)) * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
