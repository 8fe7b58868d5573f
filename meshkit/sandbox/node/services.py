"""Writes ``services.json``, the ready endpoints of every Service port for callers without a sidecar.

The file replaces DNS and kube-proxy: ``{"web.shop.svc.cluster.local:8080": ["127.7.0.4:8080", ...]}``. Each
new version is renamed into place, so readers never see a partial file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """A controller that keeps ``services.json`` up to date."""

    def __init__(self, client: LocalClient, path: Path) -> None:
        self._client, self._path = client, path
        self._written: dict[str, list[str]] | None = None

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Services and EndpointSlices, all under one key because there is one file."""
        return {"services": lambda obj: [("", "")], SLICES: lambda obj: [("", "")]}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Write the file if its content has changed."""
        endpoints = ready_endpoints(await self._client.list("services"), await self._client.list(SLICES))
        if endpoints != self._written:
            replace(self._path, json.dumps(endpoints, indent=1, sort_keys=True))
            self._written = endpoints
        return None


def ready_endpoints(services: Sequence[Object], slices: Sequence[Object]) -> dict[str, list[str]]:
    """Map ``host:port`` of each Service port to ``ip:port`` of each ready endpoint.

    An endpoint with a host name is also listed below the Service's, like ``kv-0.kv.shop.svc.cluster.local``.
    """
    result: dict[str, list[str]] = {}
    for service in services:
        namespace, name = key_of(service)
        service_slices = [
            item
            for item in slices
            if item["metadata"]["namespace"] == namespace
            and (item["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
        ]
        for port in service["spec"].get("ports") or ():
            whole: list[str] = []
            for hostname, address in _addresses(service_slices, port.get("name", "")):
                whole.append(address)
                if hostname:
                    result.setdefault(f"{hostname}.{host_of(service)}:{port['port']}", []).append(address)
            result[f"{host_of(service)}:{port['port']}"] = sorted(whole)
    return result


def _addresses(slices: Iterable[Object], port_name: str) -> Iterator[tuple[str, str]]:
    """Yield the host name and the address of each ready endpoint of a named port."""
    for endpoint_slice in slices:
        for entry in endpoint_slice.get("ports") or ():
            if (entry.get("name") or "") != port_name:
                continue
            for endpoint in endpoint_slice.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready"):
                    for address in endpoint["addresses"]:
                        yield endpoint.get("hostname") or "", f"{address}:{entry['port']}"
