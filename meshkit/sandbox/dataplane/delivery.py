"""Updates the configuration of one pod's Envoy without losing a request.

The order is make-before-break: write endpoints and clusters (old and new together) and wait until Envoy
reports that version, then write routes and listeners and wait again, then remove the old clusters. If Envoy
rejects a document, the last accepted one is restored, so that a restarted Envoy loads it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.outbound import Outbound
from meshkit.sandbox.dataplane import admin, envoy
from meshkit.sandbox.dataplane import pod_directory as poddir
from meshkit.sandbox.dataplane.envoy import Kind
from meshkit.sandbox.dataplane.render.clusters import app_clusters, assignments, outbound_clusters
from meshkit.sandbox.dataplane.render.listeners import listeners_of
from meshkit.sandbox.dataplane.render.routes import route_table
from meshkit.sandbox.dataplane.render.style import ProxyStyle

CONFIRM_S = 2.0
_FIRST_POLL_S, _LAST_POLL_S = 0.003, 0.02
_STATS = {kind: stat.removesuffix("version_text") for kind, stat in envoy.VERSION_STAT.items()}
_WARMING = "cluster_manager.warming_clusters"
_FILTER = (
    r"^(listener_manager\.lds|cluster_manager\.cds|http\.outbound\.rds\.\w+)"
    r"\.(version_text|update_rejected|update_failure)$"
)
_ENDPOINTS = r"^cluster\.outbound\|.*\.version_text$"
_STAT_LINE = re.compile(r'^([^\s"]+): "?([^"\n]*)"?$', re.MULTILINE)


@dataclass(frozen=True)
class Desired:
    """The complete configuration of a pod's proxy."""

    outbound: Outbound
    inbounds: tuple[Inbound, ...]


class Rejected(Exception):
    """Envoy rejected a document and keeps the previous one."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind = kind


class Unanswered(Exception):
    """Envoy did not confirm a document in time, because it is starting or has ended."""


class Delivery:
    """Delivers configurations to one pod; ``deliver`` is not reentrant."""

    def __init__(self, pod_dir: Path, pod_ip: str, style: ProxyStyle) -> None:
        self._dir = pod_dir
        self._ip = pod_ip
        self._style = style
        self._delivered: Desired | None = None
        self._rejection_counts: dict[Kind, int] | None = None
        self._confirmed: dict[Kind, str] = {}

    def is_prepared(self) -> bool:
        """Return whether the pod's directory and certificate exist."""
        return all(path.exists() for path in (self._dir / "lds.json", *poddir.secret_sources(self._dir)))

    async def deliver(self, desired: Desired) -> None:
        """Apply ``desired``; on Rejected or Unanswered the pod keeps its previous configuration."""
        if desired == self._delivered:
            return
        if self._rejection_counts is None:
            self._rejection_counts = await self._rejections()
        before, self._delivered = self._delivered, None
        if (
            before is None
            or before.outbound.clusters != desired.outbound.clusters
            or before.inbounds != desired.inbounds
        ):
            await self._deliver_all(desired)
        elif before.outbound.hosts != desired.outbound.hosts:
            await self._put("rds", route_table(desired.outbound.hosts))
        self._delivered = desired

    async def _deliver_all(self, desired: Desired) -> None:
        local = app_clusters((item.port for item in desired.inbounds), self._dir)
        new = outbound_clusters(desired.outbound.clusters, self._style) + local
        names = {item["name"] for item in new}
        old = [item for item in _resources(self._dir / "cds.json") if item["name"] not in names]
        endpoints = assignments(desired.outbound.clusters)
        self._write_endpoints(endpoints, keep={item["name"] for item in old})
        await self._put("cds", new + old)
        await self._wait_for_warm_clusters()
        routes = route_table(desired.outbound.hosts)
        if envoy.is_configured(self._dir):
            await self._put("rds", routes)
        else:
            envoy.write(self._dir / "rds.json", routes)  # Envoy requests the routes when it has the listener.
        await self._put("lds", listeners_of(desired.inbounds, self._dir, self._ip, self._style))
        if old:
            await self._put("cds", new)
        self._write_endpoints(endpoints)
        await self._confirm_endpoints(endpoints)

    def _write_endpoints(self, new: list[dict[str, Any]], keep: Collection[str] = ()) -> None:
        """Write the endpoints of all clusters and keep those of the clusters in ``keep``."""
        path = self._dir / "eds.json"
        old = [item for item in _resources(path) if item["cluster_name"] in keep] if keep else []
        envoy.write(path, new + old)

    async def _confirm_endpoints(self, endpoints: list[dict[str, Any]]) -> None:
        """Wait until Envoy reports the new endpoints of every cluster."""
        wanted = {
            f"cluster.{item['cluster_name']}.version_text": envoy.version_of([item]) for item in endpoints
        }
        pauses = _Pauses("eds")
        while wanted.items() - (await self._stats(_ENDPOINTS)).items():
            await pauses.wait()

    async def _put(self, kind: Kind, resources: list[dict[str, Any]]) -> None:
        """Write one document and wait until Envoy reports its version."""
        path = self._dir / f"{kind}.json"
        before = path.read_text() if path.exists() else None
        version = envoy.write(path, resources)
        if self._confirmed.get(kind) == version:
            return
        self._confirmed.pop(kind, None)
        pauses = _Pauses(kind)
        while True:
            stats = await self._stats(_FILTER)
            if stats.get(envoy.VERSION_STAT[kind]) == version:
                self._confirmed[kind] = version
                return
            refusals = _refusals(stats, kind)
            known = self._rejection_counts[kind] if self._rejection_counts is not None else 0
            if self._rejection_counts is not None:
                self._rejection_counts[kind] = refusals  # The counter restarts from 0 with Envoy.
            if refusals > known:
                if before is not None:
                    envoy.replace(path, before)
                raise Rejected(kind)
            await pauses.wait()

    async def _wait_for_warm_clusters(self) -> None:
        """Wait until every new cluster has received its endpoints and certificates."""
        pauses = _Pauses("cds")
        while (await self._stats(f"^{_WARMING}$")).get(_WARMING, "0") != "0":
            await pauses.wait()

    async def _rejections(self) -> dict[Kind, int]:
        stats = await self._stats(_FILTER)
        return {kind: _refusals(stats, kind) for kind in envoy.VERSION_STAT}

    async def _stats(self, pattern: str) -> Mapping[str, str]:
        try:
            _, text = await admin.ask(self._dir, "/stats", filter=pattern)
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            raise Unanswered(str(cause)) from cause
        return dict(_STAT_LINE.findall(text))


class _Pauses:
    """The pauses between requests for Envoy's statistics, which take it from the work that is waited for."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause_s = _FIRST_POLL_S
        self._deadline_s = asyncio.get_running_loop().time() + CONFIRM_S

    async def wait(self) -> None:
        """Pause longer each time; raise Unanswered once it took too long."""
        if asyncio.get_running_loop().time() > self._deadline_s:
            raise Unanswered(self._what)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LAST_POLL_S)


def _refusals(stats: Mapping[str, str], kind: Kind) -> int:
    return sum(int(stats.get(_STATS[kind] + name, 0)) for name in ("update_rejected", "update_failure"))


def _resources(path: Path) -> list[dict[str, Any]]:
    try:
        listed: list[dict[str, Any]] = json.loads(path.read_text())["resources"]
    except FileNotFoundError:
        return []
    return listed
