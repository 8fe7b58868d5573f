"""What Gateway API routes name and the cluster does not have: parents and backends, their ports and kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.meshes.gateway_api.meaning.matches import GROUP
from meshkit.meshes.gateway_api.meaning.routes import is_service
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry

Json = Mapping[str, Any]

PARENT_MISSING = "ParentNotFound"
PARENT_PORT_MISSING = "ParentPortNotFound"
PARENT_KIND_UNKNOWN = "ParentKindUnknown"
NO_PARENT = "NoParent"
BACKEND_MISSING = "BackendNotFound"
BACKEND_PORT_MISSING = "BackendPortNotFound"
BACKEND_KIND_UNKNOWN = "BackendKindUnknown"
_PARENTS = {
    "": {"Service"},
    "core": {"Service"},
    "apps": set(),
    GROUP: {"Gateway", "ListenerSet"},
    "policy.linkerd.io": {"Server", "EgressNetwork"},
}
"""The kinds that can be parents, for the groups of which that is known."""
_BACKENDS = {"": {"Service"}, "core": {"Service"}, "apps": set(), GROUP: set()}
_RULED = {"": "Service", "core": "Service"}


def problems(
    registry: Registry, resources: Mapping[str, tuple[str, str]], lost: str, port_lost: str = ""
) -> tuple[Problem, ...]:
    """The problems of all routes, found once. ``resources`` maps each resource to its group and kind.

    ``lost`` says what becomes of requests to a backend that does not exist, ``port_lost`` what becomes of
    those to a port that its Service does not have, where that is not the same.
    """

    def compute() -> tuple[Problem, ...]:
        return tuple(
            problem
            for resource, (group, _) in resources.items()
            for item in registry.of(resource)
            for problem in (
                *_parents(registry, item, group),
                *_backends(registry, item, lost, port_lost or lost),
            )
        )

    return registry.derived("references of routes", compute)


def _parents(registry: Registry, item: Object, own_group: str) -> Iterator[Problem]:
    references = item["spec"].get("parentRefs") or ()
    if not references:
        yield Problem(item, NO_PARENT, "spec.parentRefs names nothing, so the route has no effect.")
    for index, reference in enumerate(references):
        where = f"spec.parentRefs[{index}]"
        group, kind = reference.get("group", own_group), reference.get("kind", "Gateway")
        if kind not in _PARENTS.get(group, {kind}):
            hint = ' A Service is of the group "".' if kind == "Service" else ""
            message = f"{where}: no route can have {kind} of the group {group!r} as its parent.{hint}"
            yield Problem(item, PARENT_KIND_UNKNOWN, message)
        elif kind == _RULED.get(group):
            yield from _parent(registry, item, reference, where)


def _parent(registry: Registry, item: Object, reference: Json, where: str) -> Iterator[Problem]:
    namespace = reference.get("namespace") or item["metadata"]["namespace"]
    name, port = f"{namespace}/{reference['name']}", reference.get("port")
    service = registry.find("services", namespace, reference["name"])
    if service is None:
        message = f"{where}: there is no Service {name}; the route has no effect."
        yield Problem(item, PARENT_MISSING, message)
    elif port is not None and int(port) not in _ports(service):
        message = f"{where}: Service {name} has no port {port}; the route has no effect there."
        yield Problem(item, PARENT_PORT_MISSING, message)


def _backends(registry: Registry, item: Object, lost: str, port_lost: str) -> Iterator[Problem]:
    for number, rule in enumerate(item["spec"].get("rules") or ()):
        for index, reference in enumerate(rule.get("backendRefs") or ()):
            if reference.get("weight", 1):
                where = f"spec.rules[{number}].backendRefs[{index}]"
                effects = (f"requests to it {lost}", f"requests to it {port_lost}")
                yield from _backend(registry, item, reference, where, *effects)
        for index, entry in enumerate(rule.get("filters") or ()):
            mirrored = (entry.get("requestMirror") or {}).get("backendRef")
            if mirrored:
                where = f"spec.rules[{number}].filters[{index}].requestMirror"
                nothing = "nothing is mirrored to it"
                yield from _backend(registry, item, mirrored, where, nothing, nothing)


def _backend(
    registry: Registry, item: Object, reference: Json, where: str, effect: str, effect_of_port: str
) -> Iterator[Problem]:
    group, kind = reference.get("group", ""), reference.get("kind", "Service")
    if kind not in _BACKENDS.get(group, {kind}):
        message = f"{where}: no backend can be {kind} of the group {group!r}; {effect}."
        yield Problem(item, BACKEND_KIND_UNKNOWN, message)
        return
    if not is_service({"kind": kind, "group": group}):
        return
    namespace = reference.get("namespace") or item["metadata"]["namespace"]
    name, port = f"{namespace}/{reference['name']}", reference.get("port")
    service = registry.find("services", namespace, reference["name"])
    if service is None:
        yield Problem(item, BACKEND_MISSING, f"{where}: there is no Service {name}; {effect}.")
    elif port is None:
        yield Problem(item, BACKEND_PORT_MISSING, f"{where}: no port of Service {name} is named; {effect}.")
    elif int(port) not in _ports(service):
        message = f"{where}: Service {name} has no port {port}; {effect_of_port}."
        yield Problem(item, BACKEND_PORT_MISSING, message)


def _ports(service: Object) -> set[int]:
    return {int(port["port"]) for port in service["spec"].get("ports") or ()}
