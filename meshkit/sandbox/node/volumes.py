"""Secrets and ConfigMaps that a pod mounts: files in the pod's folder, which change when the objects do.

A process here has the machine's file system, so a volume cannot stand at its ``mountPath``: the container is
told in ``$MESHKIT_MOUNTS`` which folder stands for which path. Only the sandbox's own programs look there.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshkit.sandbox.controllers.objects import key_of
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.pod_directory import below

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

FOLDER = "volumes"
_FAILED = "MountVolume.SetUp failed for volume"
_NAMED_BY = {"secret": ("secrets", "secretName"), "configMap": ("configmaps", "name")}
"""Field of a volume -> the resource it is of, and the field with the object's name."""
Source = tuple[str, str, str]
"""Resource, namespace and name of an object that is mounted."""


class MountFailed(Exception):
    """A volume of a pod cannot be made: its object is missing, or what it holds is no set of files."""


class Volumes:
    """The volumes of every pod of the node agent."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._open: dict[Path, list[tuple[Source, Path, Mapping[str, Any]]]] = {}

    async def open(self, pod: dict[str, Any], pod_dir: Path) -> None:
        """Write the pod's files. Raises ``MountFailed``, also for a missing object that is not optional."""
        mounted = []
        for name, kind, volume in _volumes(pod):
            resource, field = _NAMED_BY[kind]
            source = (resource, key_of(pod)[0], str(volume.get(field, "")))
            found = await self._client.get(source[0], source[2], source[1])
            if found is None and not volume.get("optional"):
                raise MountFailed(f'{_FAILED} "{name}": {kind} "{source[2]}" not found')
            try:
                folder = below(pod_dir / FOLDER, name)
                _write(folder, resource, found, volume)
            except ValueError as problem:
                raise MountFailed(f'{_FAILED} "{name}": {problem}') from problem
            mounted.append((source, folder, volume))
        if mounted:
            self._open[pod_dir] = mounted

    def close(self, pod_dir: Path) -> None:
        """Keep the pod's files no longer."""
        self._open.pop(pod_dir, None)

    async def run(self) -> None:
        """Keep every open volume as its object is, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource, _ in _NAMED_BY.values():
                tasks.create_task(self._follow(resource))

    async def _follow(self, resource: str) -> None:
        async for event in self._client.watch(resource):
            changed = (resource, *key_of(event.object))
            for mounted in list(self._open.values()):
                for source, folder, volume in mounted:
                    if source == changed and event.type != "DELETED":
                        _rewrite(folder, resource, event.object, volume)


def mounts(pod: Mapping[str, Any], container: Mapping[str, Any], pod_dir: Path) -> dict[str, str]:
    """Which folder stands for which ``mountPath`` of a container."""
    kept = {name for name, _, _ in _volumes(pod)}
    return {
        str(mount["mountPath"]).rstrip("/"): str(below(pod_dir / FOLDER, mount["name"]))
        for mount in container.get("volumeMounts") or ()
        if mount["name"] in kept and not mount.get("subPath")
    }


def _volumes(pod: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name, kind and source of each volume that is kept here."""
    for volume in pod["spec"].get("volumes") or ():
        for kind in _NAMED_BY:
            if volume.get(kind):
                yield volume["name"], kind, volume[kind]


def _rewrite(folder: Path, resource: str, found: Mapping[str, Any], volume: Mapping[str, Any]) -> None:
    """Write a changed object; files that it cannot become stay as they are."""
    try:
        _write(folder, resource, found, volume)
    except OSError:
        pass  # the pod is being taken away
    except ValueError as problem:
        log.warning("volume %s keeps its files: %s", folder, problem)


def _write(folder: Path, resource: str, found: Mapping[str, Any] | None, volume: Mapping[str, Any]) -> None:
    """The object's keys as files, or those that ``items`` picks, under the paths that it gives them.

    Raises ValueError, before anything is written or removed.
    """
    texts = _texts(resource, found or {})
    if volume.get("items"):
        texts = {each["path"]: texts[each["key"]] for each in volume["items"] if each["key"] in texts}
    files = {below(folder, name): text for name, text in texts.items()}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        if path.name not in texts:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        envoy.replace(path, text, mode=0o600)


def _texts(resource: str, found: Mapping[str, Any]) -> dict[str, str]:
    data: Mapping[str, str] = found.get("data") or {}
    if resource == "secrets":
        return {key: _decoded(key, text) for key, text in data.items()}
    return dict(data)


def _decoded(key: str, text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except binascii.Error as problem:
        raise ValueError(f"the value of the key {key!r} is not base64: {problem}") from problem
