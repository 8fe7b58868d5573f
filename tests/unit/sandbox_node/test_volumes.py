"""What a pod mounts: files in its folder, as the objects are now."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.storage.store import Key, Store
from meshkit.sandbox.node.volumes import MountFailed, Volumes, mounts
from tests.unit.sandbox_node.stage import until

PAIR = {"name": "pair", "secret": {"secretName": "tls"}}
ROOTS = {"name": "roots", "configMap": {"name": "roots", "items": [{"key": "ca", "path": "bundle.crt"}]}}
MAYBE = {"name": "maybe", "configMap": {"name": "nowhere", "optional": True}}


def pod(*volumes: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": {"volumes": [*volumes]}}


def put_into(store: Store, resource: str, obj: dict[str, Any]) -> None:
    """An object as an older sandbox may have stored it: past every check."""
    store.create(Key(resource, obj["metadata"]["namespace"], obj["metadata"]["name"]), obj)


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
        with pytest.raises(MountFailed, match='volume "keys": secret "keys" not found'):
            await Volumes(client).open(pod(PAIR, missing), tmp_path)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "volume",
    [
        {"name": "../../victim", "configMap": {"name": "roots"}},
        {
            "name": "v",
            "configMap": {"name": "roots", "items": [{"key": "ca", "path": "../../../victim/new"}]},
        },
        {"name": "v", "configMap": {"name": "roots", "items": [{"key": "ca", "path": "/{victim}/new"}]}},
        {"name": "v", "configMap": {"name": "astray"}},
        {"name": "link", "configMap": {"name": "roots"}},
        {"name": "v", "secret": {"secretName": "astray"}},
    ],
    ids=["name", "path", "absolute", "key", "link", "value"],
)
def test_a_volume_that_was_stored_before_does_not_leave_the_folder_of_its_pod(
    client: LocalClient, store: Store, tmp_path: Path, volume: dict[str, Any]
) -> None:
    victim, pod_dir = tmp_path / "victim", tmp_path / "pod"
    victim.mkdir()
    (victim / "kept").write_text("as it was")
    (pod_dir / "volumes").mkdir(parents=True)
    (pod_dir / "volumes" / "link").symlink_to(victim)
    for item in volume.get("configMap", {}).get("items", ()):
        item["path"] = item["path"].replace("/{victim}", str(victim))

    async def scenario() -> None:
        await prepare(client)
        meta = {"name": "astray", "namespace": "default"}
        put_into(store, "configmaps", {"metadata": meta, "data": {"../../../victim/kept": "x", "..": "x"}})
        put_into(store, "secrets", {"metadata": meta, "data": {"k": "abcde"}})
        with pytest.raises(MountFailed, match=f'SetUp failed for volume "{volume["name"]}": '):
            await Volumes(client).open(pod(volume), pod_dir)

    asyncio.run(scenario())
    assert [path.name for path in tmp_path.iterdir() if path != pod_dir] == ["victim"]
    assert [path.name for path in victim.iterdir()] == ["kept"]
    assert (victim / "kept").read_text() == "as it was"


def test_an_object_that_is_no_set_of_files_leaves_the_files_as_they_are(
    client: LocalClient, store: Store, tmp_path: Path
) -> None:
    async def scenario() -> None:
        await prepare(client)
        volumes = Volumes(client)
        await volumes.open(pod(PAIR), tmp_path)
        following = asyncio.create_task(volumes.run())
        written = tmp_path / "volumes" / "pair" / "tls.crt"
        for value in ("abcde", base64.b64encode(b"the next pair").decode()):
            found = store.get(Key("secrets", "default", "tls"))
            assert found is not None
            store.update(found.key, {**found.object, "data": {"tls.crt": value}}, found.rv)

        async def is_new() -> bool:
            return written.read_text() == "the next pair"

        await until(is_new)
        following.cancel()

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
