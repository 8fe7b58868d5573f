"""Checks of Gateway API routes: their backends exist, and the mesh accepts them."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.view import View


def check(view: View) -> Iterator[Finding]:
    """Find backends that do not exist, and routes that the mesh does not accept."""
    for kind in ("HTTPRoute", "GRPCRoute"):
        for route in view.of(kind):
            yield from _backends(view, route)
            yield from _conditions(route)


def _backends(view: View, route: Object) -> Iterator[Finding]:
    for rule in route["spec"].get("rules") or ():
        for backend in rule.get("backendRefs") or ():
            namespace = backend.get("namespace", route["metadata"]["namespace"])
            if backend.get("kind", "Service") != "Service" or not backend.get("weight", 1):
                continue
            services = view.of("Service", namespace)
            if not any(service["metadata"]["name"] == backend["name"] for service in services):
                message = (
                    f"Service {namespace}/{backend['name']} does not exist: requests to it fail with 500."
                )
                yield codes.finding(codes.BACKEND_MISSING, title(route), message)


def _conditions(route: Object) -> Iterator[Finding]:
    for parent in (route.get("status") or {}).get("parents") or ():
        for condition in parent.get("conditions") or ():
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] == "False":
                reason = str(condition.get("message") or condition["reason"]).rstrip(".")
                message = f"its condition {condition['type']} is False: {reason}."
                yield codes.finding(codes.ROUTE_NOT_ACCEPTED, title(route), message)
