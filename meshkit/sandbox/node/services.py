"""``services.json``: the ready endpoints of every Service port, for callers without a sidecar.

It stands in for DNS and kube-proxy: ``{"web.shop.svc.cluster.local:8080": ["127.7.0.4:8080", ...]}``, renamed
into place when it changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meshkit.meshes.model.hosts import host_of
from meshkit.sandbox.controllers.endpoints import SERVICE_NAME, SLICES
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, key_of
from meshkit.sandbox.dataplane.envoy import replace

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient


class ServicesFile:
    """A controller that keeps the file."""

    def __init__(self, client: LocalClient, path: Path) -> None:
        self._client, self._path = client, path
        self._written: dict[str, list[str]] | None = None

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Services and EndpointSlices: either concerns the one file."""
        return {"services": lambda obj: [("", "")], SLICES: lambda obj: [("", "")]}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Write the file if its content has changed."""
        found = ready_endpoints(await self._client.list("services"), await self._client.list(SLICES))
        if found != self._written:
            replace(self._path, json.dumps(found, indent=1, sort_keys=True))
            self._written = found
        return None


def ready_endpoints(services: Sequence[Object], slices: Sequence[Object]) -> dict[str, list[str]]:
    """``host:port`` of each Service port -> ``ip:port`` of each ready endpoint. Pure."""
    found: dict[str, list[str]] = {}
    for service in services:
        namespace, name = key_of(service)
        mine = [
            each
            for each in slices
            if each["metadata"]["namespace"] == namespace
            and (each["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
        ]
        for port in service["spec"].get("ports") or ():
            found[f"{host_of(service)}:{port['port']}"] = sorted(
                f"{address}:{entry['port']}"
                for piece in mine
                for entry in piece.get("ports") or ()
                if (entry.get("name") or "") == port.get("name", "")
                for endpoint in piece.get("endpoints") or ()
                if (endpoint.get("conditions") or {}).get("ready")
                for address in endpoint["addresses"]
            )
    return found
