"""The Kubernetes API client of a control plane's pod.

It uses HTTPS with the sandbox's CA and the pod's own ServiceAccount token.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
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
    """An error response of the API server; ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class ApiClient:
    """An asynchronous client for the Kubernetes API.

    ``resource`` is for example "pods" or "virtualservices.networking.istio.io" at version v1, or
    "servers.v1beta3.GROUP" at another version.
    """

    def __init__(self, url: str, *, ca_file: Path, token_file: Path, agent: str = "") -> None:
        """Connect to ``url``; ``agent`` names the client, and so the manager of the fields that it writes."""
        self._url = url.rstrip("/")
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._token_file = token_file
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            headers={"User-Agent": agent} if agent else None,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return an object, or None if it does not exist."""
        try:
            return await self._call("GET", _path(resource, namespace, name))
        except ApiError as refusal:
            if refusal.status == 404:
                return None
            raise

    async def list(self, resource: str, namespace: str | None = None) -> Sequence[Object]:
        """Return the objects of a resource, of one namespace or of all."""
        items: Sequence[Object] = (await self._call("GET", _path(resource, namespace)))["items"]
        return items

    async def create(self, resource: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; raise ApiError(409) if it exists."""
        return await self._call("POST", _path(resource, item["metadata"].get("namespace")), item)

    async def update(self, resource: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object; raise ApiError(409) if it has changed since it was read."""
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
        """Patch an object or its subresource ``part``, for example "status"."""
        path = _path(resource, namespace, name) + (f"/{part}" if part else "")
        return await self._call("PATCH", path, patch, form=form)

    async def record_event(
        self, item: Object, reason: str, message: str, *, source: str, warning: bool = True
    ) -> None:
        """Record an Event on an object, once per generation, reason and message."""
        meta = item["metadata"]
        identity = f"{meta.get('uid')}/{meta.get('generation')}/{reason}/{message}"
        name = f"{meta['name']}.{hash_of(identity):x}"
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
        """Yield ("LIST", items), then (ADDED | MODIFIED | DELETED, object) without end.

        A new "LIST" follows every interruption. A kind that is not installed yields an empty list and is
        polled until it is installed. With a ``name``, only objects of this name are included.
        """
        last_error = ""
        path = _path(resource, namespace)
        selector = {"fieldSelector": f"metadata.name={name}"} if name else {}
        while True:
            try:
                listed = await self._call("GET", path, query=selector)
                yield "LIST", listed["items"]
                async for change in self._changes(path, listed["metadata"]["resourceVersion"], selector):
                    yield change
                continue
            except ApiError as refusal:
                if refusal.status == 404:
                    yield "LIST", []
                elif str(refusal) != last_error:
                    last_error = str(refusal)
                    _LOG.warning("cannot watch %s: %s", resource, refusal)
            except (aiohttp.ClientError, OSError) as problem:
                _LOG.info("watch of %s was interrupted: %s", resource, problem)
            await asyncio.sleep(_RETRY_S)

    async def _changes(
        self, path: str, version: str, selector: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, Any]]:
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", **selector}
        async with self._session.get(self._url + path, params=query, headers=self._headers()) as answer:
            await _check(answer)
            buffer = b""
            async for chunk in answer.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
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
            document: dict[str, Any] = await answer.json()
            return document

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token_file.read_text().strip()}"}


class Mirror:
    """Keeps live copies of whole resources, like an informer.

    ``within`` limits a resource to one namespace and ``named`` to one object name. Every change sets
    ``changed``; ``take`` returns what has changed.
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
        """Whether every resource has been listed at least once."""
        return not self._missing

    async def run(self) -> None:
        """Watch the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource in self._resources:
                tasks.create_task(self._follow(resource))

    def take(self) -> set[tuple[str, str]]:
        """Return (short resource, key) of all objects that have changed since the last call."""
        taken, self._touched = self._touched, set()
        return taken

    async def _follow(self, resource: str) -> None:
        name = short(resource)
        objects = self.objects[name]
        within, named = self._within.get(resource), self._named.get(resource)
        async for kind, payload in self._api.watch(resource, within, name=named):
            changes = (
                [("DELETED", objects[key]) for key in set(objects) - {key_of(item) for item in payload}]
                if kind == "LIST"
                else []
            )
            changes += [("MODIFIED", item) for item in payload] if kind == "LIST" else [(kind, payload)]
            for change, item in changes:
                self._apply(name, change, item)
            if changes or resource in self._missing:
                self._missing.discard(resource)
                self.changed.set()

    def _apply(self, name: str, change: str, item: Object) -> None:
        key, objects = key_of(item), self.objects[name]
        if change == "DELETED":
            objects.pop(key, None)
        elif (
            key in objects
            and objects[key]["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]
        ):
            return
        else:
            objects[key] = item
        self._touched.add((name, key))


def short(resource: str) -> str:
    """Return the short name of a resource: ``virtualservices`` of ``virtualservices.networking.istio.io``.

    A resource with an explicit version keeps the first word of its group: ``servers.policy``.
    """
    plural, _, rest = resource.partition(".")
    version, _, group = rest.partition(".")
    return f"{plural}.{group.partition('.')[0]}" if _VERSION.fullmatch(version) else plural


def key_of(item: Object) -> str:
    """Return ``namespace/name`` of an object."""
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def hash_of(text: str) -> int:
    """Return a hash of the text that is the same in every process."""
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
