"""What a mesh writes into its routes' status: for each parent, whether the route was accepted, and why not.

Only the conditions of the mesh's own controller are touched; those of others stay. A condition keeps its time
for as long as it says the same.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from meshkit.sandbox.proxies import gateway_routes
from meshkit.sandbox.proxies.apiclient import ApiClient, ApiError
from meshkit.sandbox.proxies.model import Object
from meshkit.sandbox.proxies.pods import Registry

_LOG = logging.getLogger("status")
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """One thing that is told of a route and a parent."""

    type: str
    holds: bool
    reason: str
    message: str = ""


@dataclass(frozen=True)
class ParentStatus:
    """What is told of one parent; ``reference`` is the parent as the controller writes it."""

    reference: Json
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class RouteStatus:
    """What a controller tells of a route. ``resource`` is where the route is kept."""

    resource: str
    item: Object
    controller: str
    parents: tuple[ParentStatus, ...]
    tells_generation: bool = False
    """Whether the controller says which generation of the route it has seen: Istio does, Linkerd does not."""


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


class StatusWriter:
    """Writes what has changed; what cannot be written now is written with the next change."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def write(self, wanted: Iterable[RouteStatus]) -> None:
        """Bring the routes' status there."""
        for status in wanted:
            before = (status.item.get("status") or {}).get("parents") or []
            now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            parents = merged(before, status, now)
            if parents == before:
                continue
            meta = status.item["metadata"]
            patch = {"status": {"parents": parents}}
            try:
                await self._api.patch(status.resource, meta["name"], meta["namespace"], patch, part="status")
            except (ApiError, aiohttp.ClientError, OSError) as problem:
                _LOG.info("status of %s/%s not written: %s", meta["namespace"], meta["name"], problem)


def merged(before: list[Json], status: RouteStatus, now: str) -> list[Json]:
    """The parents as they shall stand: those of other controllers as they are, then this one's."""
    others = [entry for entry in before if entry.get("controllerName") != status.controller]
    mine = [entry for entry in before if entry.get("controllerName") == status.controller]
    return [*others, *(_entry(parent, status, mine, now) for parent in status.parents)]


def _entry(parent: ParentStatus, status: RouteStatus, mine: list[Json], now: str) -> Json:
    old = next((entry for entry in mine if entry["parentRef"] == parent.reference), {})
    told = {condition["type"]: condition for condition in old.get("conditions") or ()}
    conditions = []
    for each in parent.conditions:
        written: dict[str, Any] = {
            "type": each.type,
            "status": "True" if each.holds else "False",
            "reason": each.reason,
            "message": each.message,
        }
        if status.tells_generation:
            written["observedGeneration"] = status.item["metadata"].get("generation", 1)
        same = told.get(each.type, {})
        kept = same.get("lastTransitionTime") if same.get("status") == written["status"] else None
        conditions.append({**written, "lastTransitionTime": kept or now})
    return {
        "parentRef": dict(parent.reference),
        "controllerName": status.controller,
        "conditions": conditions,
    }
