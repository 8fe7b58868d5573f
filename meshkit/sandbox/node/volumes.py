"""Writes the Secrets and ConfigMaps that pods mount as files, and updates them with the objects.

The files are in the pod's folder. Processes share the machine's file system, so a volume cannot be mounted at
its ``mountPath``; ``$MESHKIT_MOUNTS`` maps each mount path to the folder that replaces it. Only the sandbox's
own programs read this variable.
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

from meshkit.sandbox.controllers.loop import skipping
from meshkit.sandbox.controllers.objects import key_of
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.pod_directory import safe_join

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

FOLDER = "volumes"
_FAILED = "MountVolume.SetUp failed for volume"
_VOLUME_TYPES = {"secret": ("secrets", "secretName"), "configMap": ("configmaps", "name")}
"""Maps a volume's type to its resource and to the field with the object's name."""
Source = tuple[str, str, str]
"""The resource, namespace and name of a mounted object."""


class MountFailed(Exception):
    """A volume cannot be written because its object is missing or does not contain valid files."""


class Volumes:
    """Writes and updates the volumes of all pods of the node agent."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._open: dict[Path, list[tuple[Source, Path, Mapping[str, Any]]]] = {}

    async def open(self, pod: dict[str, Any], pod_dir: Path) -> None:
        """Write the pod's files; raise ``MountFailed`` if an object is invalid, or missing and required."""
        mounted = []
        for name, kind, volume in _volumes(pod):
            resource, field = _VOLUME_TYPES[kind]
            source = (resource, key_of(pod)[0], str(volume.get(field, "")))
            obj = await self._client.get(source[0], source[2], source[1])
            if obj is None and not volume.get("optional"):
                raise MountFailed(f'{_FAILED} "{name}": {kind} "{source[2]}" not found')
            try:
                folder = safe_join(pod_dir / FOLDER, name)
                _write(folder, resource, obj, volume)
            except ValueError as problem:
                raise MountFailed(f'{_FAILED} "{name}": {problem}') from problem
            mounted.append((source, folder, volume))
        if mounted:
            self._open[pod_dir] = mounted

    def close(self, pod_dir: Path) -> None:
        """Stop updating the pod's files."""
        self._open.pop(pod_dir, None)

    async def run(self) -> None:
        """Update every open volume when its object changes, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource, _ in _VOLUME_TYPES.values():
                tasks.create_task(self._follow(resource))

    async def _follow(self, resource: str) -> None:
        async for event in self._client.watch(resource):
            with skipping(resource, event.object):
                changed = (resource, *key_of(event.object))
                for mounted in list(self._open.values()):
                    for source, folder, volume in mounted:
                        if source == changed and event.type != "DELETED":
                            _rewrite(folder, resource, event.object, volume)


def mounts(pod: Mapping[str, Any], container: Mapping[str, Any], pod_dir: Path) -> dict[str, str]:
    """Map each ``mountPath`` of a container to the folder that replaces it."""
    supported = {name for name, _, _ in _volumes(pod)}
    return {
        str(mount["mountPath"]).rstrip("/"): str(safe_join(pod_dir / FOLDER, mount["name"]))
        for mount in container.get("volumeMounts") or ()
        if mount["name"] in supported and not mount.get("subPath")
    }


def _volumes(pod: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the name, type and source of each supported volume."""
    for volume in pod["spec"].get("volumes") or ():
        for kind in _VOLUME_TYPES:
            if volume.get(kind):
                yield volume["name"], kind, volume[kind]


def _rewrite(folder: Path, resource: str, obj: Mapping[str, Any], volume: Mapping[str, Any]) -> None:
    """Write a changed object; keep the existing files if the object is not valid."""
    try:
        _write(folder, resource, obj, volume)
    except OSError:
        pass  # The pod is being deleted.
    except ValueError as problem:
        log.warning("volume %s keeps its files: %s", folder, problem)


def _write(folder: Path, resource: str, obj: Mapping[str, Any] | None, volume: Mapping[str, Any]) -> None:
    """Write the object's keys as files, or only the keys in ``items`` under the given paths.

    Raises ValueError before any file is written or removed.
    """
    texts = _texts(resource, obj or {})
    if volume.get("items"):
        texts = {item["path"]: texts[item["key"]] for item in volume["items"] if item["key"] in texts}
    files = {safe_join(folder, name): text for name, text in texts.items()}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        if path.name not in texts:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        envoy.replace(path, text, mode=0o600)


def _texts(resource: str, obj: Mapping[str, Any]) -> dict[str, str]:
    data: Mapping[str, str] = obj.get("data") or {}
    if resource == "secrets":
        return {key: _decoded(key, text) for key, text in data.items()}
    return dict(data)


def _decoded(key: str, text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except binascii.Error as problem:
        raise ValueError(f"the value of the key {key!r} is not base64: {problem}") from problem
