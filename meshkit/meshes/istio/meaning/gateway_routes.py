"""Translate Gateway API routes on Services as Istio does.

istiod makes a VirtualService of them, so Istio's defaults hold: two retries, no timeout. The routes of the
caller's own namespace come before those of the Service's and replace them; beside a VirtualService of the
same host the older one rules, unless the route is the caller's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshkit.meshes.gateway_api.meaning import references
from meshkit.meshes.gateway_api.meaning.matches import KINDS, ROUTES, matches_of, rank
from meshkit.meshes.gateway_api.meaning.precedence import ranked as in_order
from meshkit.meshes.gateway_api.meaning.precedence import shadowed
from meshkit.meshes.gateway_api.meaning.routes import attached, meant_for, parents_of, route_of
from meshkit.meshes.gateway_api.meaning.status import Condition, ParentStatus, RouteStatus, resolved
from meshkit.meshes.istio.meaning import actions
from meshkit.meshes.istio.meaning.hosts import Host
from meshkit.meshes.istio.meaning.routes import Routing
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.outbound import HashKey, Object, Problem, Route
from meshkit.meshes.model.registry import Registry, age_of, resource_names

CONTROLLER = "istio.io/gateway-controller"
_HEADERS = {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"}
_FILTERS = {"HTTPRoute": {*_HEADERS, "RequestRedirect", "URLRewrite"}, "GRPCRoute": _HEADERS}


def routes_of(routing: Routing, host: Host, port: int) -> tuple[Route, ...]:
    """The routes of a Service port by Gateway API; none where a VirtualService rules it, or nothing does."""
    namespace = routing.caller.namespace
    found = [
        (item, kind.kind)
        for resource, kind in KINDS.items()
        for item in routing.work.registry.of(resource)
        if item["metadata"]["namespace"] in (namespace, host.namespace)
        and attached(item, host.item, port)
        and _is_valid(routing, item, kind.kind)
    ]
    own = [(item, kind) for item, kind in found if item["metadata"]["namespace"] == namespace]
    chosen = sorted(own or found, key=lambda pair: age_of(pair[0]))
    if not chosen:
        return ()
    virtual = routing.services.of(host.name)
    if virtual and not own and age_of(virtual[0]) < age_of(chosen[0][0]):
        return ()
    ranked = []
    for age, (item, kind) in enumerate(chosen):
        for index, rule in enumerate(item["spec"].get("rules") or ()):
            for match in matches_of(rule, kind):
                route = route_of(routing.work, item, index, rule, match, routing.clusters)
                ranked.append(((*rank(match), age, index), _with_defaults(routing, route, rule)))
    return tuple(route for _, route in sorted(ranked, key=lambda pair: pair[0]))


def on_tcp_ports(routing: Routing) -> Iterable[Problem]:
    """Routes of ports that Istio does not read as HTTP, where they have no effect."""
    for host in routing.hosts.values():
        ports = [port.number for port in host.ports if port.read_as == "tcp"]
        for resource in KINDS if ports else ():
            for item in routing.work.registry.of(resource):
                for number in meant_for(item, host.item, ports):
                    message = f"port {number} of {host.name} is TCP for Istio: the route has no effect there."
                    yield Problem(item, "HttpRouteOnTcpPort", message)


def _with_defaults(routing: Routing, route: Route, rule: dict[str, dict[str, str]]) -> Route:
    """Istio's retries; ``backendRequest`` is the time for all of them together."""
    if route.redirect:
        return route
    timeouts = rule.get("timeouts") or {}
    named = [backend.cluster for backend in route.backends if backend.cluster]
    policies = [routing.policies[name] for name in named if name in routing.policies]
    keys: list[HashKey] = [key for policy in policies for key in policy.hash_keys]
    return replace(
        route,
        timeout_s=duration_s(timeouts.get("request") or timeouts.get("backendRequest")),
        retry=actions.retry_of(routing.mesh.retries, hashed=bool(keys)),
        hash_keys=tuple(dict.fromkeys(keys)),
    )


def _is_valid(routing: Routing, item: Object, kind: str) -> bool:
    unknown = _unknown_filter(item, kind)
    if unknown:
        index, filter_type = unknown
        message = (
            f"spec.rules[{index}]: the filter {filter_type} is not supported by the sandbox: the whole route "
            "is ignored."
        )
        routing.work.problems.append(Problem(item, "NotSupported", message))
    return not unknown


def _unknown_filter(item: Object, kind: str) -> tuple[int, str] | None:
    """The first filter that is not carried out: the index of its rule and its type."""
    for index, rule in enumerate(item["spec"].get("rules") or ()):
        refs = rule.get("backendRefs") or ()
        for entry in [*(rule.get("filters") or ()), *(f for ref in refs for f in ref.get("filters") or ())]:
            if entry["type"] not in _FILTERS[kind]:
                return index, str(entry["type"])
    return None


def route_problems(registry: Registry) -> tuple[Problem, ...]:
    """What of the Gateway API routes has no effect, whoever calls."""
    return registry.derived("problems of routes", lambda: tuple(_route_problems(registry)))


def _route_problems(registry: Registry) -> Iterator[Problem]:
    yield from references.problems(registry, ROUTES, "fail with 500")
    for resource in KINDS:
        for item in registry.of(resource):
            for index, parent in enumerate(item["spec"].get("parentRefs") or ()):
                if parent.get("kind") == "ServiceEntry" and parent.get("group") == "networking.istio.io":
                    message = f"spec.parentRefs[{index}]: a route of a ServiceEntry is not supported by the "
                    yield Problem(item, "NotSupported", f"{message}sandbox, and has no effect there.")
    on: dict[tuple[str, str], list[tuple[Object, str]]] = defaultdict(list)
    for resource, (_, kind) in ROUTES.items():
        for item in registry.of(resource):
            own = item["metadata"]["namespace"]
            named = {(ref.get("namespace") or own, ref["name"]) for ref in parents_of(item)}
            for parent in named if not _unknown_filter(item, kind) else ():
                on[parent].append((item, kind))
    for (namespace, name), routes in on.items():
        service = registry.find("services", namespace, name) or {"spec": {}}
        for port in service["spec"].get("ports") or ():
            number = int(port["port"])
            here = [(item, kind) for item, kind in routes if attached(item, service, number)]
            # The routes of each namespace hold together: those of a caller's replace the Service's.
            for owner in {item["metadata"]["namespace"] for item, _ in here}:
                own_routes = [pair for pair in here if pair[0]["metadata"]["namespace"] == owner]
                ordered = in_order(
                    sorted(own_routes, key=lambda pair: age_of(pair[0])), lambda match, _: rank(match)
                )
                yield from shadowed(ordered, f"{namespace}/{name}:{number}")


def statuses(registry: Registry) -> Iterable[RouteStatus]:
    """The status that istiod writes to routes on Services."""
    services = {(s["metadata"]["namespace"], s["metadata"]["name"]) for s in registry.of("services")}
    for resource, full in zip(KINDS, resource_names(KINDS), strict=True):
        for item in registry.of(resource):
            own = item["metadata"]["namespace"]
            refs = _in_istios_words(resolved(registry, item, missing="backend({}) not found"))
            if unknown := _unknown_filter(item, KINDS[resource].kind):
                message = f'unsupported filter type "{unknown[1]}"'
                refs = Condition("ResolvedRefs", False, "InvalidFilter", message)
            told = []
            for parent in parents_of(item):
                if (parent.get("namespace") or own, parent["name"]) in services:
                    accepted = Condition("Accepted", True, "Accepted", "Route was valid")
                else:
                    message = f"parent Service {parent['name']} not found"
                    accepted = Condition("Accepted", False, "NoMatchingParent", message)
                told.append(ParentStatus(parent, (accepted, refs)))
            if told:
                yield RouteStatus(full, item, CONTROLLER, tuple(told), tells_generation=True)


def _in_istios_words(condition: Condition) -> Condition:
    """Use Istio's message for a condition that is true."""
    return replace(condition, message="All references resolved") if condition.holds else condition
