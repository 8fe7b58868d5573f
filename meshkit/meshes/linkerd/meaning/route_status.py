"""The status that Linkerd's policy controller writes to routes.

A parent must exist and, if it is a Service, have a cluster address; a route of HTTP beside one of gRPC on the
same parent is in conflict. That a filter drops the whole route is *not* said: there it remains accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.meshes.gateway_api.meaning.status import Condition, ParentStatus, RouteStatus, resolved
from meshkit.meshes.linkerd.meaning.authorization import GROUP, ROUTES
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.registry import Registry

CONTROLLER = "linkerd.io/policy-controller"
_RESOURCES = {
    "httproutes": "httproutes.gateway.networking.k8s.io",
    "grpcroutes": "grpcroutes.gateway.networking.k8s.io",
    "httproutes.policy": f"httproutes.v1beta3.{GROUP}",
}
_OF_PARENTS = {
    "Service": "services",
    "Server": "servers.policy",
    "EgressNetwork": "egressnetworks.policy",
}
_ACCEPTED = Condition("Accepted", True, "Accepted")
_CONFLICTED = Condition("Accepted", False, "RouteReasonConflicted")
_NO_PARENT = Condition("Accepted", False, "NoMatchingParent")
_HEADLESS = Condition("Accepted", False, "NoMatchingParent", "parent service must have a ClusterIP")
_Parent = tuple[str, str, str, int | None]
"""(kind, namespace, name, port)"""


def statuses(registry: Registry) -> Iterable[RouteStatus]:
    """The status of every route with a parent that Linkerd knows."""
    by_grpc = {parent for item in registry.of("grpcroutes") for parent in _parents(item)}
    for resource, (_, kind) in ROUTES.items():
        for item in registry.of(resource):
            conflicts = by_grpc if kind == "HTTPRoute" else set()
            parents = tuple(_told(registry, item, parent, conflicts) for parent in _parents(item))
            if parents:
                yield RouteStatus(_RESOURCES[resource], item, CONTROLLER, parents)


def _parents(item: Object) -> list[_Parent]:
    found: list[_Parent] = []
    for ref in item["spec"].get("parentRefs") or ():
        group, kind = ref.get("group"), ref.get("kind")
        namespace = ref.get("namespace") or item["metadata"]["namespace"]
        if kind == "Service" and group in ("", "core"):
            found.append((kind, namespace, ref["name"], ref.get("port")))
        if kind == "Server" and group == GROUP:
            found.append((kind, namespace, ref["name"], None))
        if kind == "EgressNetwork" and group == GROUP:
            found.append((kind, namespace, ref["name"], ref.get("port")))
    return found


def _told(registry: Registry, item: Object, parent: _Parent, conflicts: set[_Parent]) -> ParentStatus:
    kind, namespace, name, port = parent
    group = "core" if kind == "Service" else GROUP
    reference: dict[str, Any] = {"group": group, "kind": kind, "namespace": namespace, "name": name}
    if port is not None:
        reference["port"] = port
    accepted = _parent_condition(registry, parent)
    if accepted.holds and parent in conflicts:
        accepted = _CONFLICTED
    more = () if kind == "Server" else (resolved(registry, item),)
    return ParentStatus(reference, (accepted, *more))


def _parent_condition(registry: Registry, parent: _Parent) -> Condition:
    kind, namespace, name, _ = parent
    resource = _OF_PARENTS[kind]
    found: Mapping[str, Any] | None = next(
        (item for item in registry.of(resource, namespace) if item["metadata"]["name"] == name), None
    )
    if found is None:
        return _NO_PARENT
    if kind == "Service" and not has_cluster_address(found):
        return _HEADLESS
    return _ACCEPTED


def has_cluster_address(service: Object) -> bool:
    """Whether a Service can be the parent of a route in Linkerd. One that is only a file gets an address."""
    spec = service["spec"]
    return bool(spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None")
