"""The status of routes as data, by parent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.meshes.gateway_api.meaning import routes as gateway_routes
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.registry import Registry

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """A condition of a route for one parent."""

    type: str
    holds: bool
    reason: str
    message: str = ""


@dataclass(frozen=True)
class ParentStatus:
    """The status for one parent; ``reference`` is the parent as the controller writes it."""

    reference: Json
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class RouteStatus:
    """The status of a route. ``resource`` is the resource name of the route's kind."""

    resource: str
    item: Object
    controller: str
    parents: tuple[ParentStatus, ...]
    tells_generation: bool = False
    """Whether the controller reports observedGeneration: Istio does, Linkerd does not."""


def resolved(registry: Registry, item: Object, *, missing: str = "") -> Condition:
    """Whether the Services that a route names exist. ``missing`` is the message, with the name for {}."""
    services = {(s["metadata"]["namespace"], s["metadata"]["name"]) for s in registry.of("services")}
    for reference in references_of(item):
        name = reference["name"]
        if not gateway_routes.is_service({"kind": "Service", "group": "", **reference}):
            return Condition("ResolvedRefs", False, "InvalidKind")
        namespace = reference.get("namespace") or item["metadata"]["namespace"]
        if (namespace, name) not in services:
            host = f"{name}.{namespace}.svc.cluster.local"
            return Condition("ResolvedRefs", False, "BackendNotFound", missing.format(host))
    return Condition("ResolvedRefs", True, "ResolvedRefs")


def references_of(item: Object) -> Iterable[Json]:
    """The backends of a route, those of its mirrors included."""
    for rule in item["spec"].get("rules") or ():
        yield from rule.get("backendRefs") or ()
        for entry in rule.get("filters") or ():
            if entry["type"] == "RequestMirror":
                yield entry["requestMirror"]["backendRef"]
