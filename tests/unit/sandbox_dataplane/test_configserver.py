"""How a pod's Envoy gets its documents: the server alone, and with a real Envoy."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from meshkit.sandbox.dataplane import config_server as configserver
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane import pod_directory as poddir
from meshkit.sandbox.dataplane.config_server import ConfigServer
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, run
from tests.unit.sandbox_dataplane.mini_mesh import MiniMesh

Ask = Callable[..., Awaitable[dict[str, Any] | None]]


def serving(folder: Path, body: Callable[[Ask], Awaitable[None]]) -> None:
    """Run ``body`` with a way to ask: ask(kind, version, *names) -> the document, None for 304."""

    async def main() -> None:
        server = ConfigServer(folder, FolderWatch())
        await server.open()
        connector = aiohttp.UnixConnector(str(poddir.config_socket(folder)))
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask(kind: str, version: str = "", *names: str) -> dict[str, Any] | None:
                asked = {"version_info": version, "resource_names": list(names)}
                async with session.post(f"http://config/v3/discovery:{kind}", json=asked) as answer:
                    return await answer.json() if answer.status == 200 else None

            await body(ask)
        server.close()

    asyncio.run(main())


def test_what_is_new_is_given_at_once_and_what_is_known_when_it_changes(tmp_path: Path) -> None:
    async def body(ask: Ask) -> None:
        first = envoy.write(tmp_path / "rds.json", [{"name": "a"}])
        given = await ask("routes")
        assert given == {"version_info": first, "resources": [{"name": "a"}]}
        waiting = asyncio.create_task(ask("routes", first))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert not waiting.done()
        second = envoy.write(tmp_path / "rds.json", [{"name": "b"}])
        changed = await asyncio.wait_for(waiting, 30)
        assert changed
        assert changed["version_info"] == second

    serving(tmp_path, body)


def test_a_document_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async def body(ask: Ask) -> None:
        waiting = asyncio.create_task(ask("listeners"))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        version = envoy.write(tmp_path / "lds.json", [{"name": "l"}])
        assert (await asyncio.wait_for(waiting, 30) or {})["version_info"] == version

    serving(tmp_path, body)


def test_a_held_request_ends_with_not_modified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configserver, "HOLD_S", 0.1)

    async def body(ask: Ask) -> None:
        assert await ask("clusters", envoy.write(tmp_path / "cds.json", [{"name": "c"}])) is None

    serving(tmp_path, body)


def test_a_request_is_held_for_less_than_envoy_waits_for_its_answer() -> None:
    timeout = envoy.config_source()["api_config_source"]["request_timeout"]
    assert float(timeout.removesuffix("s")) > configserver.HOLD_S


def test_what_was_refused_is_given_again_only_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configserver, "PAUSE_S", 0.3)

    async def body(ask: Ask) -> None:
        good = envoy.write(tmp_path / "rds.json", [{"name": "good"}])
        await ask("routes")
        envoy.write(tmp_path / "rds.json", [{"name": "bad"}])
        await ask("routes", good)
        start = asyncio.get_running_loop().time()
        assert await ask("routes", good)
        assert asyncio.get_running_loop().time() - start > 0.25

    serving(tmp_path, body)


def test_endpoints_of_a_cluster_have_a_version_of_their_own(tmp_path: Path) -> None:
    def assignment(name: str, port: int) -> dict[str, Any]:
        return {"cluster_name": name, "endpoints": [port]}

    async def body(ask: Ask) -> None:
        envoy.write(tmp_path / "eds.json", [assignment("a", 1), assignment("b", 1)])
        given = await ask("endpoints", "", "a")
        assert given
        assert given["resources"] == [assignment("a", 1)]
        waiting = asyncio.create_task(ask("endpoints", given["version_info"], "a"))  # type: ignore[arg-type]
        envoy.write(tmp_path / "eds.json", [assignment("a", 1), assignment("b", 2)])
        await asyncio.sleep(0.05)
        assert not waiting.done()
        envoy.write(tmp_path / "eds.json", [assignment("a", 3), assignment("b", 2)])
        assert (await asyncio.wait_for(waiting, 30) or {})["resources"] == [assignment("a", 3)]

    serving(tmp_path, body)


def test_only_this_user_may_ask(tmp_path: Path) -> None:
    async def body(ask: Ask) -> None:
        del ask
        assert stat.S_IMODE(poddir.config_socket(tmp_path).stat().st_mode) == 0o600

    serving(tmp_path, body)


def test_one_inotify_instance_serves_every_folder_and_is_given_back(tmp_path: Path) -> None:
    async def main() -> None:
        before = inotify_instances(os.getpid())
        watch, seen = FolderWatch(), []
        folders = [tmp_path / name for name in "abc"]
        numbers = []
        for folder in folders:
            folder.mkdir()
            numbers.append(watch.follow(folder, seen.append))
        assert inotify_instances(os.getpid()) == before + 1
        for folder in folders:
            envoy.replace(folder / f"{folder.name}.json", "{}")
        async with asyncio.timeout(30):
            while len(seen) < 3:  # noqa: ASYNC110 - the reader is what is tested
                await asyncio.sleep(0.01)
        assert sorted(seen) == ["a.json", "b.json", "c.json"]
        for number in numbers:
            watch.forget(number)
        assert inotify_instances(os.getpid()) == before

    asyncio.run(main())


def inotify_instances(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    links = [os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()]
    return links.count("anon_inode:inotify")


def test_an_envoy_takes_no_inotify_instance(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        assert [inotify_instances(process.pid) for process in mesh.processes.values()] == [0, 0, 0]

    run(tmp_path, body)


def test_an_ejection_outlives_a_pod_that_comes_and_one_that_goes(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        outlier = {"consecutive5xxErrors": 2, "interval": "0.2s", "baseEjectionTime": "60s"}
        mesh.objects["destinationrules"] = [
            destination_rule(outlierDetection={**outlier, "maxEjectionPercent": 100})
        ]
        await mesh.apply()
        mesh.answers["web-v1"] = 500
        await mesh.until_failed("web-v1", 2)
        assert await mesh.split("client", 20) == {(200, "web-v2"): 20}
        await mesh.pod("web-v3", app="web", version="v3")
        await mesh.apply()
        seen = await mesh.split("client", 30)
        assert {pod for _, pod in seen} == {"web-v2", "web-v3"}
        mesh.objects["pods"] = [pod for pod in mesh.objects["pods"] if pod["metadata"]["name"] != "web-v3"]
        await mesh.apply()
        assert await mesh.split("client", 20) == {(200, "web-v2"): 20}

    run(tmp_path, body)


def test_a_proxy_that_starts_again_finds_its_configuration(tmp_path: Path) -> None:
    async def body(mesh: MiniMesh) -> None:
        await mesh.restart("client")
        async with asyncio.timeout(30):
            while True:
                try:
                    if (await mesh.get("client"))[0] == 200:
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    run(tmp_path, body)
