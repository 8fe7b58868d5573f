"""Read VirtualServices that are bound to a gateway, for a release at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object
from meshkit.meshes.gateway_api import edges
from meshkit.meshes.istio.traffic.routes import VIRTUAL_SERVICE
from meshkit.meshes.istio.traffic.splits import holds, split_of
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, full_host
from meshkit.meshes.routing.edges import Reader, Target

Json = Mapping[str, Any]


def _bound(obj: Object, rule: Json) -> bool:
    return holds(obj, rule, at_gateways=True)


def _target(entry: Json, namespace: str) -> Target | None:
    destination = entry["destination"]
    name, _, rest = full_host(str(destination["host"]).lower(), namespace).partition(".")
    home, _, domain = rest.partition(".")
    if domain != f"svc.{CLUSTER_DOMAIN}":
        return None
    return Target(home, name, (destination.get("port") or {}).get("number"))


READERS = (
    Reader(VIRTUAL_SERVICE.kind, VIRTUAL_SERVICE.group, "http", "route", _bound, _target, split_of),
    *edges.READERS,
)
"""The kinds of routes that a gateway of Istio follows."""
