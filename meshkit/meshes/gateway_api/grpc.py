"""What a Route cannot have where a GRPCRoute carries it, on every mesh."""

from __future__ import annotations

from collections.abc import Mapping

from meshkit.errors import BadInput
from meshkit.intent.traffic import Route
from meshkit.meshes.routing.capabilities import Limits

_BY_NAME = "Use grpc: beside rules for gRPC, calls are matched by their service and method."
_UNREAD = "Let the destination take the call as it is made: a GRPCRoute knows headers only."
NO_GRPC: Limits = {
    "rules[].matches[].grpc": "It makes the Route a GRPCRoute.",
    "retries.grpc_statuses": "They make the Route a GRPCRoute.",
    "rules[].retries.grpc_statuses": "They make the Route a GRPCRoute.",
}
"""What an HTTPRoute lacks of gRPC: it is written by another kind of route."""
LIMITS: Limits = {
    "rules[].matches[].path": _BY_NAME,
    "rules[].matches[].method": _BY_NAME,
    "rules[].matches[].query": _BY_NAME,
    "rules[].redirect": "Send these calls to another Service: gRPC has no redirects.",
    "rules[].rewrite": _UNREAD,
    "rules[].timeout_s": "Let callers set deadlines: a GRPCRoute has no timeouts.",
}
"""The fields of a Route that a GRPCRoute cannot carry out, each with what it can do instead."""


def without(limits: Mapping[str, str]) -> dict[str, str]:
    """The limits of a mesh's HTTPRoute that hold for its GRPCRoute, too."""
    return {place: instead for place, instead in limits.items() if place not in NO_GRPC}


def require_statuses(route: Route) -> None:
    """Raise ``BadInput`` for retries that name no status of gRPC, as a GRPCRoute knows no other."""
    if route.retries and route.retries.attempts and not route.retries.grpc_statuses:
        problem = "a GRPCRoute retries by statuses of gRPC, and it names none."
        raise BadInput("route.retries.grpc_statuses", problem, remedy="Name them, such as [unavailable].")
