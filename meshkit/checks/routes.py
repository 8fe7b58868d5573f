"""Checks of Gateway API routes, by what the mesh makes of them, and of their status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import group_of, title
from meshkit.meshes import registry
from meshkit.meshes.checks import findings_of
from meshkit.meshes.view import View

CODES: Mapping[str, Code] = {
    "RouteShadowed": codes.ROUTE_SHADOWED,
    "RuleShadowed": codes.RULE_SHADOWED,
    "BackendNotFound": codes.BACKEND_MISSING,
    "BackendPortNotFound": codes.BACKEND_PORT_MISSING,
    "BackendKindUnknown": codes.BACKEND_KIND_UNKNOWN,
    "ParentNotFound": codes.ROUTE_PARENT_MISSING,
    "ServerNotFound": codes.ROUTE_PARENT_MISSING,
    "ParentPortNotFound": codes.ROUTE_PARENT_PORT_MISSING,
    "ParentWithoutAddress": codes.ROUTE_PARENT_KIND_UNKNOWN,
    "ParentKindUnknown": codes.ROUTE_PARENT_KIND_UNKNOWN,
    "NoParent": codes.ROUTE_WITHOUT_PARENT,
    "OpaquePort": codes.ROUTE_ON_OPAQUE_PORT,
    "ServiceProfileRules": codes.ROUTE_UNDER_SERVICE_PROFILE,
    "RouteDropped": codes.ROUTE_DROPPED,
    "TimeoutVoid": codes.ROUTE_TIMEOUT_VOID,
    "KindNotServed": codes.ROUTE_KIND_NOT_SERVED,
    "IgnoredField": codes.ROUTE_FIELD_IGNORED,
    "FilterConfused": codes.ROUTE_FIELD_IGNORED,
    "AnnotationUnreadable": codes.SERVICE_ANNOTATION_UNREADABLE,
}
"""The reason of a Problem -> the code of its finding. What only the sandbox cannot do is no finding."""

_GROUP = "gateway.networking.k8s.io"
_TELLS = {
    "NoMatchingParent": frozenset(
        {"ParentNotFound", "ParentPortNotFound", "ServerNotFound", "ParentWithoutAddress"}
    ),
    "BackendNotFound": frozenset({"BackendNotFound", "BackendPortNotFound"}),
    "InvalidKind": frozenset({"BackendKindUnknown"}),
    "RouteReasonConflicted": frozenset({"KindNotServed"}),
}
"""The reason of a condition -> the reasons of Problems that say the same and more."""


def check(view: View) -> Iterator[Finding]:
    """Find routes, and parts of them, without effect or with failing requests."""
    mesh = registry.mesh(view.mesh)
    problems = mesh.meaning.route_problems(view.registry(mesh.meaning.KINDS))
    yield from findings_of(problems, CODES)
    told: dict[int, set[str]] = defaultdict(set)
    for problem in problems:
        told[id(problem.object)].add(problem.reason)
    for kind in ("HTTPRoute", "GRPCRoute"):
        for route in view.of(kind):
            yield from _gateways(view, route)
            yield from _conditions(route, told[id(route)])


def _gateways(view: View, route: Object) -> Iterator[Finding]:
    """Find Gateways that a route names and that do not exist.

    Files often leave shared Gateways out, so there a namespace counts once one of its Gateways is known.
    """
    for reference in (route.get("spec") or {}).get("parentRefs") or ():
        if (reference.get("group", _GROUP), reference.get("kind", "Gateway")) != (_GROUP, "Gateway"):
            continue
        namespace, name = reference.get("namespace") or route["metadata"].get("namespace"), reference["name"]
        known = [each for each in view.of("Gateway", namespace) if group_of(each) == _GROUP]
        if (known or view.components) and not any(each["metadata"]["name"] == name for each in known):
            message = f"there is no Gateway {namespace}/{name}."
            yield codes.finding(codes.ROUTE_PARENT_MISSING, title(route), message)


def _conditions(route: Object, told: Set[str]) -> Iterator[Finding]:
    """What the control plane wrote to the route's status, except what is told in more detail."""
    for parent in (route.get("status") or {}).get("parents") or ():
        for condition in parent.get("conditions") or ():
            if _TELLS.get(condition["reason"], frozenset()) & told:
                continue
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] == "False":
                reason = str(condition.get("message") or condition["reason"]).rstrip(".")
                message = f"its condition {condition['type']} is False: {reason}."
                yield codes.finding(codes.ROUTE_NOT_ACCEPTED, title(route), message)
