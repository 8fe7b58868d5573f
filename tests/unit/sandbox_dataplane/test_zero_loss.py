"""Changes under load lose no request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from meshkit.sandbox.dataplane.delivery import Rejected
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, to, virtual_service
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh, shop


async def load(mesh: MiniMesh, until: asyncio.Event) -> dict[str, int]:
    """Requests one after the other on four connections, counted by outcome."""
    seen = {"ok": 0, "failed": 0}

    async def one() -> None:
        while not until.is_set():
            try:
                status, _ = await mesh.get("client")
            except aiohttp.ClientError:
                status = 0
            seen["ok" if status == 200 else "failed"] += 1

    await asyncio.gather(*(one() for _ in range(4)))
    return seen


def under_load(directory: Path, body: Callable[[MiniMesh], Awaitable[None]], mesh: str = "istio") -> None:
    async def main() -> None:
        async with shop(mesh, directory) as made:
            made.objects["destinationrules"] = [destination_rule()]
            made.objects["virtualservices"] = [virtual_service({"route": [to("v1", 50), to("v2", 50)]})]
            await made.apply()
            done = asyncio.Event()
            loading = asyncio.create_task(load(made, done))
            await asyncio.sleep(0.1)
            try:
                await body(made)
            finally:
                done.set()
                seen = await loading
            assert seen["failed"] == 0
            assert seen["ok"]

    asyncio.run(main())


def test_weight_changes_are_obeyed_at_once_and_lose_nothing(tmp_path: Path) -> None:
    """How long one takes is measured by the benchmarks: here it is the order that counts."""

    async def body(mesh: MiniMesh) -> None:
        for turn in range(100):
            weights = (100, 0) if turn % 2 else (0, 100)
            mesh.objects["virtualservices"] = [
                virtual_service({"route": [to("v1", weights[0]), to("v2", weights[1])]})
            ]
            await mesh.apply()
            assert (await mesh.get("client"))[1] == ("web-v1" if turn % 2 else "web-v2")

    under_load(tmp_path, body)


def test_rotation_and_mode_switches_lose_nothing(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        for turn in range(10):
            meta: dict[str, Any] = {"name": "default", "namespace": "shop"}
            mode = "STRICT" if turn % 2 else "PERMISSIVE"
            mesh.objects["peerauthentications"] = [{"metadata": meta, "spec": {"mtls": {"mode": mode}}}]
            for name in ("client", "web-v1", "web-v2"):
                mesh.rotate(name)
            await mesh.apply()
            await asyncio.sleep(0.05)

    under_load(tmp_path, body)


def test_pods_and_services_that_come_and_go_lose_nothing(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await mesh.pod("web-v3", app="web", version="v2")
        await mesh.apply()
        gone = mesh.objects["pods"].pop()
        mesh.objects["services"].append(
            {**mesh.objects["services"][0], "metadata": {"name": "b", "namespace": "shop"}}
        )
        await mesh.apply()
        mesh.objects["services"].pop()
        await mesh.apply()
        assert gone["metadata"]["name"] == "web-v3"

    under_load(tmp_path, body)


def test_what_envoy_refuses_leaves_the_old_configuration_in_force(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        before = mesh.documents("client")["rds"]
        bad = {"match": [{"uri": {"regex": "(("}}], "route": [to("v1")]}
        mesh.objects["virtualservices"] = [virtual_service(bad)]
        with pytest.raises(Rejected):
            await mesh.apply()
        assert mesh.documents("client")["rds"] == before

    under_load(tmp_path, body)
