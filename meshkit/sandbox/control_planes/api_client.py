"""The Kubernetes API as a control plane's pod sees it:

HTTPS, the sandbox's CA, the pod's own ServiceAccount token.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from meshkit.meshes.model.outbound import Object

_LOG = logging.getLogger("api")
_RETRY_S = 0.5
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
_VERSION = re.compile(r"v\d+((alpha|beta)\d+)?")


class ApiError(Exception):
    """The API server's refusal. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class ApiClient:
    """``resource`` is "pods" or "virtualservices.networking.istio.io" at v1, or "servers.v1beta3.GROUP"."""

    def __init__(self, url: str, *, ca_file: Path, token_file: Path) -> None:
        self._url = url.rstrip("/")
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._token_file = token_file
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """One object, or None where there is none."""
        try:
            return await self._call("GET", _path(resource, namespace, name))
        except ApiError as refusal:
            if refusal.status == 404:
                return None
            raise

    async def create(self, resource: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object. Raises ApiError(409) where it exists."""
        return await self._call("POST", _path(resource, item["metadata"].get("namespace")), item)

    async def update(self, resource: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object. Raises ApiError(409) where it has changed since it was read."""
        meta = item["metadata"]
        return await self._call("PUT", _path(resource, meta.get("namespace"), meta["name"]), item)

    async def patch(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        patch: Any,
        *,
        form: str = MERGE_PATCH,
        part: str = "",
    ) -> dict[str, Any]:
        """Patch an object, or its subresource ``part`` ("status")."""
        path = _path(resource, namespace, name) + (f"/{part}" if part else "")
        return await self._call("PATCH", path, patch, form=form)

    async def record_event(
        self, item: Object, reason: str, message: str, *, source: str, warning: bool = True
    ) -> None:
        """An Event on an object. The same words on the same generation are said once."""
        meta = item["metadata"]
        words = f"{meta.get('uid')}/{meta.get('generation')}/{reason}/{message}"
        name = f"{meta['name']}.{hash_of(words):x}"
        involved = {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), "name": meta["name"]}
        involved |= {key: meta[key] for key in ("namespace", "uid", "resourceVersion") if key in meta}
        now = _now()
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": meta.get("namespace", "default")},
            "involvedObject": involved,
            "reason": reason,
            "message": message[:1000],
            "type": "Warning" if warning else "Normal",
            "source": {"component": source},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self.create("events", event)
        except ApiError as refusal:
            if refusal.status != 409:
                _LOG.warning("event on %s not recorded: %s", meta["name"], refusal)

    async def watch(
        self, resource: str, namespace: str | None = None, *, name: str | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        """("LIST", items) at first and after every gap, then (ADDED | MODIFIED | DELETED, object), for ever.

        A kind that is not installed is an empty list, asked for again until it is. With a ``name`` only the
        objects of this name are told.
        """
        said = ""
        path = _path(resource, namespace)
        only = {"fieldSelector": f"metadata.name={name}"} if name else {}
        while True:
            try:
                listed = await self._call("GET", path, query=only)
                yield "LIST", listed["items"]
                async for change in self._changes(path, listed["metadata"]["resourceVersion"], only):
                    yield change
                continue
            except ApiError as refusal:
                if refusal.status == 404:
                    yield "LIST", []
                elif str(refusal) != said:
                    said = str(refusal)
                    _LOG.warning("cannot watch %s: %s", resource, refusal)
            except (aiohttp.ClientError, OSError) as problem:
                _LOG.info("watch of %s broke off: %s", resource, problem)
            await asyncio.sleep(_RETRY_S)

    async def _changes(
        self, path: str, version: str, only: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, Any]]:
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", **only}
        async with self._session.get(self._url + path, params=query, headers=self._headers()) as answer:
            await _check(answer)
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body)
        headers = self._headers() | ({"content-type": form} if data is not None else {})
        timeout = aiohttp.ClientTimeout(total=10)
        async with self._session.request(
            method, self._url + path, params=query, data=data, headers=headers, timeout=timeout
        ) as answer:
            await _check(answer)
            found: dict[str, Any] = await answer.json()
            return found

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token_file.read_text().strip()}"}


class Mirror:
    """Live copies of whole resources, or of those in one namespace (``within``: resource -> namespace) or of
    one name (``named``: resource -> name).

    ``changed`` is set by every change; ``take`` says what it was.
    """

    def __init__(
        self,
        api: ApiClient,
        resources: Iterable[str],
        within: Mapping[str, str] | None = None,
        named: Mapping[str, str] | None = None,
    ) -> None:
        self._api = api
        self._within = within or {}
        self._named = named or {}
        self._resources = tuple(resources)
        self._missing = set(self._resources)
        self._touched: set[tuple[str, str]] = set()
        self.objects: dict[str, dict[str, Object]] = {short(resource): {} for resource in self._resources}
        self.changed = asyncio.Event()

    @property
    def is_synced(self) -> bool:
        """Whether every resource has been listed once."""
        return not self._missing

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource in self._resources:
                tasks.create_task(self._follow(resource))

    def take(self) -> set[tuple[str, str]]:
        """(short resource, key) of what has changed since the last call."""
        taken, self._touched = self._touched, set()
        return taken

    async def _follow(self, resource: str) -> None:
        name = short(resource)
        held = self.objects[name]
        within, named = self._within.get(resource), self._named.get(resource)
        async for kind, payload in self._api.watch(resource, within, name=named):
            changes = (
                [("DELETED", held[key]) for key in set(held) - {key_of(item) for item in payload}]
                if kind == "LIST"
                else []
            )
            changes += [("MODIFIED", item) for item in payload] if kind == "LIST" else [(kind, payload)]
            for what, item in changes:
                self._apply(name, what, item)
            if changes or resource in self._missing:
                self._missing.discard(resource)
                self.changed.set()

    def _apply(self, name: str, what: str, item: Object) -> None:
        key, held = key_of(item), self.objects[name]
        if what == "DELETED":
            held.pop(key, None)
        elif key in held and held[key]["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]:
            return
        else:
            held[key] = item
        self._touched.add((name, key))


def short(resource: str) -> str:
    """``virtualservices`` of ``virtualservices.networking.istio.io``.

    A kind asked for at a version of its own has its group's first word behind it: ``servers.policy``.
    """
    plural, _, rest = resource.partition(".")
    version, _, group = rest.partition(".")
    return f"{plural}.{group.partition('.')[0]}" if _VERSION.fullmatch(version) else plural


def key_of(item: Object) -> str:
    """``namespace/name``."""
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def hash_of(text: str) -> int:
    """A number that stays the same from process to process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def _path(resource: str, namespace: str | None = None, name: str | None = None) -> str:
    plural, _, group = resource.partition(".")
    version, _, rest = group.partition(".")
    version, group = (version, rest) if _VERSION.fullmatch(version) else ("v1", group)
    parts = ["apis", group, version] if group else ["api", "v1"]
    parts += ["namespaces", namespace] if namespace else []
    return "/" + "/".join([*parts, plural, *([name] if name else [])])


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    text = await answer.text()
    try:
        text = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:200]
    raise ApiError(answer.status, text)


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
