"""What Linkerd makes of a Service's port: which kinds of routes hold there, and what makes them void.

Routes hold on ports that Linkerd reads as HTTP or detects: those that are neither opaque, by the annotation
``config.linkerd.io/opaque-ports`` of the Service or by default, nor of another ``appProtocol``. A
ServiceProfile with routes or overrides replaces all routes, retries, timeouts and circuit breakers of its
Service; one in the caller's namespace comes before the Service's own.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from meshkit.facts import Kind
from meshkit.kube.quantities import parse
from meshkit.meshes.gateway_api.meaning.routes import is_service
from meshkit.meshes.linkerd.meaning import protocols
from meshkit.meshes.linkerd.meaning.authorization import ROUTES
from meshkit.meshes.model.hosts import host_of
from meshkit.meshes.model.outbound import Backend, Match, Object, Route, cluster_name
from meshkit.meshes.model.registry import Registry

PROFILES: Mapping[str, Kind] = {
    "serviceprofiles.linkerd": Kind("linkerd.io/v1alpha2", "ServiceProfile"),
}
_KINDS: Mapping[str, tuple[str, ...]] = {
    "": ("GRPCRoute", "HTTPRoute"),
    "kubernetes.io/h2c": ("GRPCRoute", "HTTPRoute"),
    "http": ("HTTPRoute",),
}


def kinds_of(service: Object, port: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of routes that Linkerd looks for on a port, in this order; none on a TCP port."""
    return _KINDS[protocols.app_protocol(port)] if protocols.of_service(service, port) == "http" else ()


def opaque_reason(service: Object, port: Mapping[str, Any]) -> str:
    """Why Linkerd takes a port for plain TCP; empty if it does not."""
    if protocols.of_service(service, port) == "http":
        return ""
    if not protocols.is_opaque(service, int(port["port"])):
        return f"appProtocol {protocols.app_protocol(port)!r}"
    annotated = protocols.OPAQUE in (service["metadata"].get("annotations") or {})
    return f"the annotation {protocols.OPAQUE}" if annotated else "Linkerd's default opaque ports"


def profile_name(service: Object) -> str:
    """The name of a Service's ServiceProfile, which is the full host name."""
    return host_of(service)


def is_active(profile: Object) -> bool:
    """Whether proxies follow a ServiceProfile instead of routes: it has routes or overrides."""
    spec = profile.get("spec") or {}
    return bool(spec.get("routes") or spec.get("dstOverrides"))


def profile_of(registry: Registry, service: Object, namespace: str) -> Object | None:
    """The ServiceProfile that callers of a namespace follow for a Service; None if they follow routes."""
    name = profile_name(service)
    for where in dict.fromkeys((namespace, service["metadata"]["namespace"])):
        for profile in registry.of("serviceprofiles.linkerd", where):
            if profile["metadata"]["name"] == name:
                return profile if is_active(profile) else None
    return None


def profile_route(profile: Object, service: Object, port: int, clusters: Container[str]) -> Route:
    """The Service itself, or the overrides of its ServiceProfile with their weights."""
    meta = profile["metadata"]
    backends: Sequence[Backend] = [
        Backend(name if name in clusters else None, int(parse(entry.get("weight", 0)).amount * 1000))
        for entry in (profile.get("spec") or {}).get("dstOverrides") or ()
        for name in [_cluster_of(str(entry.get("authority", "")), port)]
    ]
    weighty = tuple(backend for backend in backends if backend.weight)
    itself = Backend(cluster_name(port, "", host_of(service)), 1)
    owner = f"{meta['namespace']}/{meta['name']}"
    return Route("profile", (Match(),), weighty or (itself,), owner=owner, source=f"ServiceProfile {owner}")


def _cluster_of(authority: str, port: int) -> str:
    host, _, number = authority.partition(":")
    return cluster_name(int(number) if number.isdecimal() else port, "", host.rstrip("."))


def unlisted_ports(registry: Registry) -> list[tuple[Object, int]]:
    """The Services with the ports that backends of routes name and the Services do not have, each once.

    Linkerd asks only whether a backend's Service exists, and takes such a port for one of its pods.
    """
    found: dict[tuple[str, str, int], Object] = {}
    for resource in ROUTES:
        for item in registry.of(resource):
            for rule in item["spec"].get("rules") or ():
                for reference in rule.get("backendRefs") or ():
                    if service := _unlisted(registry, item, reference):
                        meta = service["metadata"]
                        found[(meta["namespace"], meta["name"], int(reference["port"]))] = service
    return [(service, port) for (_, _, port), service in sorted(found.items(), key=lambda pair: pair[0])]


def _unlisted(registry: Registry, item: Object, reference: Mapping[str, Any]) -> Object | None:
    if not reference.get("port") or not is_service({"kind": "Service", "group": "", **reference}):
        return None
    namespace = reference.get("namespace") or item["metadata"]["namespace"]
    service = registry.find("services", namespace, reference["name"])
    listed = {int(port["port"]) for port in (service or {"spec": {}})["spec"].get("ports") or ()}
    return service if int(reference["port"]) not in listed else None
