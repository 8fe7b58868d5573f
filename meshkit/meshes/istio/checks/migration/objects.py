"""Istio's objects that have another effect, or none, for pods without a sidecar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.istio.ambient import policies
from meshkit.meshes.istio.checks.migration.scope import Scope

_FOR_SIDECARS: tuple[tuple[str, Code, str], ...] = (
    ("EnvoyFilter", codes.MOVE_ENVOY_FILTER, "it changes sidecars; ztunnel and waypoints ignore it"),
    ("WasmPlugin", codes.MOVE_WASM, "it runs in sidecars, and ztunnel runs no plugins"),
    ("RequestAuthentication", codes.MOVE_REQUEST_AUTHENTICATION, "ztunnel verifies no tokens"),
    ("Sidecar", codes.MOVE_SIDECAR, "it has no effect on pods without a sidecar"),
)
"""Kinds that only proxies of a workload follow."""


def check(scope: Scope) -> Iterator[Finding]:
    """Find objects whose effect changes with the move."""
    for kind, code, message in _FOR_SIDECARS:
        for item in scope.of(kind):
            if not policies.target_refs(item) and scope.concerns(item):
                yield codes.finding(code, title(item), f"{message}.")
    for item in scope.of("Telemetry"):
        selector = (item.get("spec") or {}).get("selector")
        if selector and not policies.target_refs(item) and scope.concerns(item):
            message = "it selects pods; ztunnel reports connections only."
            yield codes.finding(codes.MOVE_TELEMETRY, title(item), message)
    for item in scope.of("AuthorizationPolicy"):
        effect = policies.beyond_ztunnel(item) if policies.is_for_ztunnel(item) else ""
        if effect and scope.concerns(item):
            yield codes.finding(codes.MOVE_POLICY, title(item), f"{effect}.")
    for item in scope.of("PeerAuthentication"):
        yield from _peer_authentication(scope, item)
    for kind in ("WorkloadEntry", "WorkloadGroup"):
        for item in scope.of(kind):
            is_machine = kind == "WorkloadGroup" or (item.get("spec") or {}).get("serviceAccount")
            if is_machine and item["metadata"].get("namespace") in scope.namespaces:
                message = "the ambient mode takes no machine outside the cluster into the mesh."
                yield codes.finding(codes.MOVE_MACHINES, title(item), message)
    yield from _virtual_services(scope)
    yield from _routes(scope)
    yield from _destination_rules(scope)


def _peer_authentication(scope: Scope, item: Object) -> Iterator[Finding]:
    spec: dict[str, Any] = item.get("spec") or {}
    places = [("spec.mtls", spec.get("mtls"))]
    places += [
        (f"spec.portLevelMtls[{port}]", tls) for port, tls in (spec.get("portLevelMtls") or {}).items()
    ]
    for where, tls in places:
        if (tls or {}).get("mode") == "DISABLE" and scope.concerns(item):
            message = f"{where}.mode is DISABLE, which the ambient mode does not do."
            yield codes.finding(codes.MOVE_PEER_AUTHENTICATION, title(item), message)


def _virtual_services(scope: Scope) -> Iterator[Finding]:
    """Find VirtualServices, of any namespace, for the Services that move."""
    for item in scope.view.of("VirtualService"):
        spec, own = item.get("spec") or {}, str(item["metadata"].get("namespace"))
        kinds = [kind for kind in ("http", "tcp", "tls") if spec.get(kind)]
        if not kinds or "mesh" not in (spec.get("gateways") or ["mesh"]):
            continue
        found = (scope.service_of(str(host), own) for host in spec.get("hosts") or ())
        for service in {title(each): each for each in found if each is not None}.values():
            if scope.waypoints.of_service(service).works:
                message = (
                    f"its {' and '.join(kinds)} rules hold at the waypoint of {title(service)}, as alpha."
                )
                yield codes.finding(codes.MOVE_ROUTE, title(item), message, severity="warning")
            else:
                yield codes.finding(codes.MOVE_ROUTE, title(item), _unserved(scope, service))


def _routes(scope: Scope) -> Iterator[Finding]:
    """Find routes of the Gateway API for Services that move and have no waypoint."""
    for kind in ("HTTPRoute", "GRPCRoute"):
        for item in scope.view.of(kind):
            own = str(item["metadata"].get("namespace"))
            for parent in (item.get("spec") or {}).get("parentRefs") or ():
                if parent.get("kind") == "Service":
                    service = scope.service_of(str(parent["name"]), str(parent.get("namespace") or own))
                    if service is not None and not scope.waypoints.of_service(service).works:
                        yield codes.finding(codes.MOVE_ROUTE, title(item), _unserved(scope, service))


def _unserved(scope: Scope, service: Object) -> str:
    problem = scope.waypoints.of_service(service).problem
    why = f": {problem}" if problem else ""
    return f"no waypoint serves {title(service)}{why}, so callers of the ambient mode do not follow it."


def _destination_rules(scope: Scope) -> Iterator[Finding]:
    for item in scope.view.of("DestinationRule"):
        spec, own = item.get("spec") or {}, str(item["metadata"].get("namespace"))
        service = scope.service_of(str(spec.get("host", "")), own)
        if service is None:
            continue
        subsets = spec.get("subsets") or ()
        if subsets:
            names = ", ".join(str(each["name"]) for each in subsets)
            message = f"an HTTPRoute cannot name its subsets {names}."
            yield codes.finding(codes.MOVE_SUBSETS, title(item), message)
        sets = spec.get("trafficPolicy") or any(each.get("trafficPolicy") for each in subsets)
        if sets and not scope.waypoints.of_service(service).works:
            message = f"no waypoint serves {title(service)}, so its trafficPolicy has no effect there."
            yield codes.finding(codes.MOVE_TRAFFIC_POLICY, title(item), message)
