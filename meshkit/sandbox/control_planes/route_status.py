"""Writes the status of a mesh's routes: for each parent, whether the route is accepted and why not.

It changes only the conditions of the mesh's own controller. ``lastTransitionTime`` changes only with a
condition's status.
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
    """Writes changed statuses; a failed write is repeated with the next change."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def write(self, wanted: Iterable[RouteStatus]) -> None:
        """Update the routes whose status differs from ``wanted``."""
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
                _LOG.info("cannot write the status of %s/%s: %s", meta["namespace"], meta["name"], problem)


def merged(before: list[Json], status: RouteStatus, now: str) -> list[Json]:
    """Return the desired parents: those of other controllers unchanged, then this controller's."""
    others = [entry for entry in before if entry.get("controllerName") != status.controller]
    mine = [entry for entry in before if entry.get("controllerName") == status.controller]
    return [*others, *(_entry(parent, status, mine, now) for parent in status.parents)]


def _entry(parent: ParentStatus, status: RouteStatus, mine: list[Json], now: str) -> Json:
    old = next((entry for entry in mine if entry["parentRef"] == parent.reference), {})
    previous = {condition["type"]: condition for condition in old.get("conditions") or ()}
    conditions = []
    for condition in parent.conditions:
        written: dict[str, Any] = {
            "type": condition.type,
            "status": "True" if condition.holds else "False",
            "reason": condition.reason,
            "message": condition.message,
        }
        if status.tells_generation:
            written["observedGeneration"] = status.item["metadata"].get("generation", 1)
        earlier = previous.get(condition.type, {})
        since = earlier.get("lastTransitionTime") if earlier.get("status") == written["status"] else None
        conditions.append({**written, "lastTransitionTime": since or now})
    return {
        "parentRef": dict(parent.reference),
        "controllerName": status.controller,
        "conditions": conditions,
    }
