"""Serves a pod's configuration files to its Envoy as xDS over REST on a Unix socket.

The server has the role of Istio's agent between Envoy and the control plane: the control plane writes files
and the node serves them. The pod therefore keeps working, and its Envoy can even restart, without a control
plane. Envoy does not watch the files itself, because it would need an inotify instance for each file and for
every cluster's endpoints.

Envoy requests a resource with the version that it applied last. The server answers at once if it has another
version; otherwise it holds the request until the file changes, or answers 304 after ``HOLD_S``. If Envoy
requests again from the old version after receiving the new one, it has rejected the new one; the server then
waits ``PAUSE_S`` before it sends it again, because Envoy would repeat the request without a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane import pod_directory as poddir
from meshkit.sandbox.dataplane.folder_watch import FolderWatch

HOLD_S = 300.0
"""Shorter than the request's timeout in ``envoy.config_source``. Each request costs 4 ms of processor time,
because Envoy describes itself in it, and an idle Envoy holds one for each cluster."""
PAUSE_S = 1.0
_FILES = {
    "listeners": ("lds.json",),
    "clusters": ("cds.json",),
    "routes": ("rds.json",),
    "endpoints": ("eds.json",),
    "secrets": tuple(path.name for path in poddir.secret_sources(Path())),
}
_NAMED = {"endpoints": "cluster_name", "secrets": "name"}
"""Kinds whose resources have individual versions, mapped to the field with the resource's name."""
Answer = tuple[str, bytes]
"""A version and its document."""


class ConfigServer:
    """Serves one pod's configuration until closed; several servers may share ``watch``."""

    def __init__(self, pod_dir: Path, watch: FolderWatch) -> None:
        self._dir = pod_dir
        self._watch = watch
        self._followed: int | None = None
        self._server: asyncio.Server | None = None
        self._changed = {kind: asyncio.Event() for kind in _FILES}
        self._read: dict[str, dict[str, Answer]] = {}
        self._sent: dict[str, tuple[str, str]] = {}
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen on a socket in the pod's directory that only this user can open."""
        path = poddir.config_socket(self._dir)
        path.unlink(missing_ok=True)
        self._followed = self._watch.follow(self._dir, self._note)
        self._server = await asyncio.start_unix_server(self._serve, path)
        path.chmod(0o600)

    def close(self) -> None:
        """Stop serving and cancel open requests."""
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
                    answer = await self._answer(kind, *_asked(body.decode()))
                    status = "200 OK" if answer else "304 Not Modified"
                    fields = f"content-type: application/json\r\ncontent-length: {len(answer)}"
                    writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + answer)
                    await writer.drain()
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, kind: str, known_version: str, names: Sequence[str]) -> bytes:
        """Wait for a version that differs from Envoy's; return its document, or nothing after a timeout."""
        name = names[0] if kind in _NAMED else ""
        deadline = asyncio.get_running_loop().time() + HOLD_S
        while True:
            changed = self._changed[kind]
            answer = self._current(kind).get(name)
            wait_s = deadline - asyncio.get_running_loop().time()
            if answer and answer[0] != known_version:
                if kind in _NAMED or self._sent.get(kind) != (known_version, answer[0]):
                    self._sent[kind] = (known_version, answer[0])
                    return answer[1]
                del self._sent[kind]
                wait_s = min(wait_s, PAUSE_S)
            if wait_s <= 0:
                return b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await changed.wait()

    def _current(self, kind: str) -> dict[str, Answer]:
        """Map each resource name ("" for the whole document) to its version and document."""
        if kind not in self._read:
            answers: dict[str, Answer] = {}
            for file in _FILES[kind]:
                with contextlib.suppress(FileNotFoundError):
                    answers |= _answers(kind, (self._dir / file).read_bytes())
            self._read[kind] = answers
        return self._read[kind]


def _asked(body: str) -> tuple[str, list[str]]:
    """The version that Envoy knows and the resources that it wants.

    Only these are decoded: a request has a list of a hundred kilobytes of all extensions of Envoy. A quoted
    name with a colon is no part of a text in JSON, whose quotes would be escaped.
    """
    return _field(body, "version_info", ""), _field(body, "resource_names", [])


def _field(body: str, name: str, default: Any) -> Any:
    key = f'"{name}":'
    at = body.rfind(key)
    return default if at < 0 else json.JSONDecoder().raw_decode(body[at + len(key) :].lstrip())[0]


def _answers(kind: str, document: bytes) -> dict[str, Answer]:
    parsed = json.loads(document)
    if kind not in _NAMED:
        return {"": (parsed["version_info"], document)}
    return {item[_NAMED[kind]]: _single_resource(item) for item in parsed["resources"]}


def _single_resource(item: Mapping[str, Any]) -> Answer:
    version = envoy.version_of([item])
    return version, json.dumps({"version_info": version, "resources": [item]}).encode()


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    raise ValueError("the request has no content-length")
