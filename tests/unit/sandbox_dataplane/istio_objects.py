"""Istio objects and requests for tests of its traffic rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop


def virtual_service(*http: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "shop", "uid": "vs", "generation": 1}
    return {"metadata": meta, "spec": {"hosts": ["web"], "http": list(http)}}


def to(subset: str, weight: int = 100) -> dict[str, Any]:
    return {"destination": {"host": "web", "subset": subset}, "weight": weight}


def destination_rule(**policy: Any) -> dict[str, Any]:
    subsets = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
    meta = {"name": "web", "namespace": "shop", "uid": "dr", "generation": 1}
    return {"metadata": meta, "spec": {"host": "web", "subsets": subsets, "trafficPolicy": policy}}


def run(directory: Path, body: Callable[[MiniMesh], Awaitable[None]]) -> None:
    async def main() -> None:
        async with shop("istio", directory) as mesh:
            await body(mesh)

    asyncio.run(main())


def total(page: str, name: str, *having: str) -> float:
    series = (line for line in page.splitlines() if line.startswith(name + "{"))
    return sum(float(line.rsplit(" ", 1)[1]) for line in series if all(each in line for each in having))
