"""Gives one pod's Envoy the documents of its directory, as xDS over REST on a unix socket.

This is the part of Istio's agent that stands between Envoy and its control plane: the control plane writes
files, the node serves them, so a pod goes on, and its Envoy may even start again, with no control plane left.
Were Envoy to watch the files itself, it would take an inotify instance for each of them and one for every
cluster's endpoints.

Envoy asks for a resource with the version it obeys. A newer one is answered at once, the same one is held
until it changes (or answered 304 after a while). A version that is asked for again after it was given was
refused; it is given again only after a second, for Envoy would ask without a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane import pod_directory as poddir
from meshkit.sandbox.dataplane.folder_watch import FolderWatch

HOLD_S = 30.0
PAUSE_S = 1.0
_FILES = {
    "listeners": ("lds.json",),
    "clusters": ("cds.json",),
    "routes": ("rds.json",),
    "endpoints": ("eds.json",),
    "secrets": tuple(path.name for path in poddir.secret_sources(Path())),
}
_NAMED = {"endpoints": "cluster_name", "secrets": "name"}
"""Kinds whose resources have a version each, and the field that names one."""
Answer = tuple[str, bytes]
"""A version and the document that has it."""


class ConfigServer:
    """Serves until closed. ``watch`` may be shared by many."""

    def __init__(self, pod_dir: Path, watch: FolderWatch) -> None:
        self._dir = pod_dir
        self._watch = watch
        self._followed: int | None = None
        self._server: asyncio.Server | None = None
        self._changed = {kind: asyncio.Event() for kind in _FILES}
        self._read: dict[str, dict[str, Answer]] = {}
        self._given: dict[str, tuple[str, str]] = {}
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen in the pod's directory, where only this user may come in."""
        path = poddir.config_socket(self._dir)
        path.unlink(missing_ok=True)
        self._followed = self._watch.follow(self._dir, self._note)
        self._server = await asyncio.start_unix_server(self._serve, path)
        path.chmod(0o600)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        if self._followed is not None:
            self._watch.forget(self._followed)
        for client in self._clients:
            client.cancel()

    def _note(self, file: str) -> None:
        for kind, files in _FILES.items():
            if file in files:
                self._read.pop(kind, None)
                self._changed[kind].set()
                self._changed[kind] = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        ended = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError)
        try:
            with contextlib.suppress(*ended):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    body = await reader.readexactly(_content_length(head))
                    kind = head.split(" ", 2)[1].rpartition(":")[2]
                    answer = await self._answer(kind, json.loads(body))
                    status = "200 OK" if answer else "304 Not Modified"
                    fields = f"content-type: application/json\r\ncontent-length: {len(answer)}"
                    writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + answer)
                    await writer.drain()
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, kind: str, asked: Mapping[str, Any]) -> bytes:
        """The document that Envoy asks for, once it differs from the one it has; empty if it never did."""
        name = asked["resource_names"][0] if kind in _NAMED else ""
        have = str(asked.get("version_info") or "")
        deadline = asyncio.get_running_loop().time() + HOLD_S
        while True:
            changed = self._changed[kind]
            found = self._current(kind).get(name)
            wait_s = deadline - asyncio.get_running_loop().time()
            if found and found[0] != have:
                if kind in _NAMED or self._given.get(kind) != (have, found[0]):
                    self._given[kind] = (have, found[0])
                    return found[1]
                del self._given[kind]
                wait_s = min(wait_s, PAUSE_S)
            if wait_s <= 0:
                return b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await changed.wait()

    def _current(self, kind: str) -> dict[str, Answer]:
        """Resource name ("" for the whole document) -> its version and document."""
        if kind not in self._read:
            found: dict[str, Answer] = {}
            for file in _FILES[kind]:
                with contextlib.suppress(FileNotFoundError):
                    found |= _answers(kind, (self._dir / file).read_bytes())
            self._read[kind] = found
        return self._read[kind]


def _answers(kind: str, document: bytes) -> dict[str, Answer]:
    parsed = json.loads(document)
    if kind not in _NAMED:
        return {"": (parsed["version_info"], document)}
    return {item[_NAMED[kind]]: _alone(item) for item in parsed["resources"]}


def _alone(item: Mapping[str, Any]) -> Answer:
    version = envoy.version_of([item])
    return version, json.dumps({"version_info": version, "resources": [item]}).encode()


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    raise ValueError("a request without a length")
