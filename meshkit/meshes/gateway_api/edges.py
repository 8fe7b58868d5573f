"""Read Gateway API routes that are bound to a Gateway, for a release at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object
from meshkit.meshes.gateway_api.meaning.matches import GROUP
from meshkit.meshes.gateway_api.splits import split_of
from meshkit.meshes.routing.edges import Reader, Target

Json = Mapping[str, Any]


def _bound(obj: Object, rule: Json) -> bool:
    del rule  # All rules of a route are bound to all of its parents.
    return any(
        ref.get("kind", "Gateway") == "Gateway" and ref.get("group", GROUP) == GROUP
        for ref in obj["spec"].get("parentRefs") or ()
    )


def _target(reference: Json, namespace: str) -> Target | None:
    if reference.get("kind", "Service") != "Service" or reference.get("group", "") not in ("", "core"):
        return None
    return Target(reference.get("namespace") or namespace, str(reference["name"]), reference.get("port"))


READERS = tuple(
    Reader(kind, GROUP, "rules", "backendRefs", _bound, _target, split_of)
    for kind in ("HTTPRoute", "GRPCRoute")
)
"""HTTPRoutes and GRPCRoutes."""
