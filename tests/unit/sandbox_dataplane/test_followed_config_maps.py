"""The ConfigMaps that a control plane follows: those that it reads, and none that is renewed all the time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.mesh_config import CONFIG_MAP
from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.sandbox.control_planes.applicants import InCluster
from meshkit.sandbox.control_planes.configurator import Configurator
from meshkit.sandbox.control_planes.istio.authorities import SELF_SIGNED
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE
from meshkit.sandbox.control_planes.linkerd.authorities import ISSUER


class Watched:
    """An API server without objects that notes which ConfigMaps are watched."""

    def __init__(self) -> None:
        self.config_maps: list[tuple[str | None, str | None]] = []

    async def watch(
        self, resource: str, namespace: str | None = None, *, name: str | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        if resource == "configmaps":
            self.config_maps.append((namespace, name))
        yield "LIST", []
        await asyncio.Event().wait()


def configuring(meaning: Any, mesh_config: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
    def made(api: Any) -> Coroutine[Any, Any, None]:
        return Configurator(
            api,
            data_plane=DATA_PLANE,
            revision="default",
            meaning=meaning,
            event_source="istiod",
            run_dir=Path("run"),
            namespace="home",
            mesh_config=mesh_config,
        ).run()

    return made


@pytest.mark.parametrize(
    ("running", "followed"),
    [
        pytest.param(configuring(istio, CONFIG_MAP), [("home", CONFIG_MAP)], id="config-of-istio"),
        pytest.param(configuring(linkerd, ""), [], id="config-of-linkerd"),
        pytest.param(
            lambda api: InCluster(api, PROXY, "default", "home", SELF_SIGNED).run(),
            [],
            id="identity-of-istio",
        ),
        pytest.param(
            lambda api: InCluster(api, PROXY, "default", "home", ISSUER).run(),
            [("home", ISSUER.bundle)],
            id="identity-of-linkerd",
        ),
    ],
)
def test_only_config_maps_that_are_read_are_followed(
    running: Callable[[Any], Coroutine[Any, Any, None]], followed: list[tuple[str, str]]
) -> None:
    async def main() -> None:
        api = Watched()
        work = asyncio.ensure_future(running(api))
        async with asyncio.timeout(30):
            while len(api.config_maps) < len(followed):  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        assert api.config_maps == followed

    asyncio.run(main())
