"""What a mesh writes into its routes' status: for each parent, whether the route was accepted, and why not.

Only the conditions of the mesh's own controller are touched; those of others stay. A condition keeps its time
for as long as it says the same.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from meshkit.meshes.gateway_api.meaning.status import (
    ParentStatus,
    RouteStatus,
)
from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError

_LOG = logging.getLogger("status")
Json = Mapping[str, Any]


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
