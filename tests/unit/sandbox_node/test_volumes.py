"""What a pod mounts: files in its folder, as the objects are now."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.node.volumes import NotThere, Volumes, mounts
from tests.unit.sandbox_node.stage import until

PAIR = {"name": "pair", "secret": {"secretName": "tls"}}
ROOTS = {"name": "roots", "configMap": {"name": "roots", "items": [{"key": "ca", "path": "bundle.crt"}]}}
MAYBE = {"name": "maybe", "configMap": {"name": "nowhere", "optional": True}}


def pod(*volumes: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": {"volumes": [*volumes]}}


async def prepare(client: LocalClient) -> None:
    await client.create("namespaces", {"metadata": {"name": "default"}})
    data = {"tls.crt": base64.b64encode(b"the pair").decode()}
    await client.create("secrets", {"metadata": {"name": "tls", "namespace": "default"}, "data": data})
    roots = {"metadata": {"name": "roots", "namespace": "default"}, "data": {"ca": "one", "other": "x"}}
    await client.create("configmaps", roots)


def test_the_files_change_with_the_object_until_the_pod_is_gone(client: LocalClient, tmp_path: Path) -> None:
    async def scenario() -> None:
        await prepare(client)
        volumes = Volumes(client)
        await volumes.open(pod(PAIR, ROOTS, MAYBE, {"name": "tmp", "emptyDir": {}}), tmp_path)
        bundle = tmp_path / "volumes" / "roots" / "bundle.crt"
        assert (tmp_path / "volumes" / "pair" / "tls.crt").read_text() == "the pair"
        assert [path.name for path in bundle.parent.iterdir()] == ["bundle.crt"]
        assert bundle.stat().st_mode & 0o777 == 0o600
        assert not list((tmp_path / "volumes" / "maybe").iterdir())

        following = asyncio.create_task(volumes.run())
        await client.merge_patch("configmaps", "roots", "default", {"data": {"ca": "two"}})

        async def is_new() -> bool:
            return bundle.read_text() == "two"

        await until(is_new)
        volumes.close(tmp_path)
        await client.merge_patch("configmaps", "roots", "default", {"data": {"ca": "three"}})
        await asyncio.sleep(0.05)
        assert bundle.read_text() == "two"
        following.cancel()

    asyncio.run(scenario())


def test_an_object_that_is_not_there_is_waited_for(client: LocalClient, tmp_path: Path) -> None:
    async def scenario() -> None:
        await prepare(client)
        missing = {"name": "keys", "secret": {"secretName": "keys"}}
        with pytest.raises(NotThere, match='volume "keys": secret "keys" not found'):
            await Volumes(client).open(pod(PAIR, missing), tmp_path)

    asyncio.run(scenario())


def test_a_container_is_told_which_folder_stands_for_which_path() -> None:
    container = {
        "volumeMounts": [
            {"name": "pair", "mountPath": "/var/run/tls/"},
            {"name": "roots", "mountPath": "/etc/one", "subPath": "ca"},
            {"name": "tmp", "mountPath": "/tmp"},
        ]
    }
    found = mounts(pod(PAIR, ROOTS, {"name": "tmp", "emptyDir": {}}), container, Path("/d"))
    assert found == {"/var/run/tls": "/d/volumes/pair"}
