"""Paginated lists and watches of the API server.

All pages of a list come from one snapshot (references to immutable objects), so that they are consistent. A
watch subscribes before it replays history, so that no change is lost; the resourceVersion identifies changes
that appear in both.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import random
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage.selectors import Matcher
from meshkit.sandbox.api.storage.store import Change, Store, Stored, Subscription

_SNAPSHOTS = 64  # lists whose next page can still be requested
_BOOKMARK_EVERY_S = 60.0
_WATCH_S = (
    1800.0,
    3600.0,
)  # range of the default watch timeout, as with kube-apiserver's --min-request-timeout
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


_MAX_VERSION_DIGITS = 20  # of 64 bits


@dataclass(frozen=True)
class Page:
    """Hold one page of a list.

    ``rv`` is the resourceVersion of the list, ``proceed`` the continue token of the next page.
    """

    items: list[Stored]
    rv: int
    proceed: str = ""
    remaining: int = 0


@dataclass(frozen=True)
class Notice:
    """Represent one event of a watch.

    BOOKMARK and ERROR events carry ``message`` instead of a stored object.
    """

    type: str
    stored: Stored | None = None
    message: dict[str, Any] | None = None


@dataclass(frozen=True)
class WatchQuery:
    """Hold the parameters of a watch request."""

    resource_version: str = ""
    initial_events: bool | None = None
    version_match: str = ""
    bookmarks: bool = False
    timeout_s: float | None = None


class Reads:
    """Serve lists and watches from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[int, tuple[int, list[Stored]]] = OrderedDict()
        self._next_snapshot = random.getrandbits(32)

    # --- lists

    def page(
        self, resource: Resource, namespace: str | None, matches: Matcher, limit: int, proceed: str
    ) -> Page:
        """Return the first page, or the page at the continue token ``proceed``.

        Raises ApiError 410 when the snapshot of the list is no longer available.
        """
        if proceed:
            number, start = _position(proceed)
            if number not in self._snapshots:
                raise status.expired(
                    "The provided continue parameter is too old to display a consistent list result. "
                    "You must start a new list without the continue parameter."
                )
            rv, matching = self._snapshots[number]
        else:
            rv, start, number = self._store.rv, 0, 0
            stored_objects = self._store.objects(resource.key, namespace)
            matching = [stored for stored in stored_objects if matches(stored.object)]
        end = start + limit if limit else len(matching)
        if end >= len(matching):
            return Page(matching[start:], rv)
        if not proceed:
            number = self._keep_snapshot(rv, matching)
        return Page(matching[start:end], rv, _token(number, end), len(matching) - end)

    def _keep_snapshot(self, rv: int, objects: list[Stored]) -> int:
        self._next_snapshot += 1
        self._snapshots[self._next_snapshot] = (rv, objects)
        while len(self._snapshots) > _SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return self._next_snapshot

    # --- watches

    async def watch(
        self, resource: Resource, namespace: str | None, matches: Matcher, query: WatchQuery
    ) -> AsyncGenerator[Notice]:
        """Yield the events of a watch.

        The watch ends at its timeout, when the resource's definition changes, or when the reader is too slow.
        """
        deadline = time.monotonic() + (query.timeout_s or random.uniform(*_WATCH_S))
        subscription = self._store.subscribe(resource.key)
        try:
            seen_rv = self._store.rv
            try:
                for notice in self._past(resource, namespace, matches, query):
                    yield notice
            except status.ApiError as error:
                yield Notice("ERROR", message=error.status())
                return
            if query.initial_events and query.bookmarks:
                yield _bookmark(resource, seen_rv, {INITIAL_EVENTS_END: "true"})
            async for notice in self._live(
                resource, namespace, matches, query, subscription, seen_rv, deadline
            ):
                yield notice
        finally:
            self._store.unsubscribe(resource.key, subscription)

    def check_list(self, resource_version: str, match: str) -> None:
        """Raise ApiError for a resourceVersion that is invalid or no longer available for a list."""
        if match not in ("", "Exact", "NotOlderThan"):
            supported = '"Exact", "NotOlderThan", ""'
            raise status.unsupported_option("ListOptions", "resourceVersionMatch", f'"{match}"', supported)
        if match and not resource_version:
            why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            cause = status.Cause("resourceVersionMatch", "FieldValueForbidden", why)
            raise status.invalid("ListOptions", "meta.k8s.io", "", [cause])
        if not resource_version:
            return
        if not _is_version(resource_version):
            raise status.bad_request(f"invalid resource version: {_no_version(resource_version)}")
        self._require_reached(resource_version)
        if match == "Exact" and int(resource_version) != self._store.rv:
            raise status.expired(f"too old resource version: {resource_version}")

    def _require_reached(self, resource_version: str) -> None:
        if int(resource_version or 0) > self._store.rv:
            message = f"Too large resource version: {resource_version}, current: {self._store.rv}"
            details = {
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            }
            raise status.ApiError(504, "Timeout", f"Timeout: {message}", details)

    def check(self, query: WatchQuery) -> None:
        """Raise ApiError for invalid watch parameters."""
        if query.initial_events is not None and query.version_match != "NotOlderThan":
            cause = status.Cause(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
            raise status.invalid("ListOptions", "meta.k8s.io", "", [cause])
        if query.resource_version and not _is_version(query.resource_version):
            raise status.bare(500, _no_version(query.resource_version))
        self._require_reached(query.resource_version)

    def _past(
        self, resource: Resource, namespace: str | None, matches: Matcher, query: WatchQuery
    ) -> Iterator[Notice]:
        """Yield the initial events, which are every object or the changes since the resourceVersion."""
        all_objects = (
            query.resource_version in ("", "0") if query.initial_events is None else query.initial_events
        )
        if all_objects:
            for stored in self._store.objects(resource.key, namespace):
                if matches(stored.object):
                    yield Notice("ADDED", stored)
        elif query.resource_version not in ("", "0"):
            for change in self._store.changes(resource.key, int(query.resource_version)):
                notice = _notice(change, namespace, matches)
                if notice is not None:
                    yield notice

    async def _live(
        self,
        resource: Resource,
        namespace: str | None,
        matches: Matcher,
        query: WatchQuery,
        subscription: Subscription,
        seen_rv: int,
        deadline: float,
    ) -> AsyncIterator[Notice]:
        while True:
            left_s = deadline - time.monotonic()
            try:
                change = await asyncio.wait_for(
                    subscription.next(), max(min(left_s, _BOOKMARK_EVERY_S), 0.001)
                )
            except TimeoutError:
                if query.bookmarks:
                    yield _bookmark(resource, self._store.rv, {})
                if left_s <= _BOOKMARK_EVERY_S:
                    return
                continue
            if change is None:
                if not self._store.closed:
                    expired_error = status.expired(
                        "the watch has fallen behind or its resource has changed; list again"
                    )
                    yield Notice("ERROR", message=expired_error.status())
                return
            notice = _notice(change, namespace, matches) if change.now.rv > seen_rv else None
            if notice is not None:
                yield notice


def _notice(change: Change, namespace: str | None, matches: Matcher) -> Notice | None:
    """Return the event that a change causes in a watch with a selector.

    An object that starts to match is ADDED, one that stops matching is DELETED.
    """
    if namespace is not None and change.now.key.namespace != namespace:
        return None
    matched_before = change.before is not None and matches(change.before)
    if change.type == "DELETED":
        return Notice("DELETED", change.now) if matched_before else None
    if matches(change.now.object):
        return Notice("MODIFIED" if matched_before else "ADDED", change.now)
    return Notice("DELETED", change.now) if matched_before else None


def _bookmark(resource: Resource, rv: int, annotations: dict[str, str]) -> Notice:
    metadata = {"resourceVersion": str(rv), **({"annotations": annotations} if annotations else {})}
    return Notice(
        "BOOKMARK",
        message={"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata},
    )


def _token(number: int, position: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([number, position]).encode()).decode()


def _position(token: str) -> tuple[int, int]:
    try:
        number, position = bodies.read_json(base64.urlsafe_b64decode(token))
        return int(number), int(position)
    except (binascii.Error, ValueError, TypeError, status.ApiError) as error:
        raise status.bad_request("continue key is not valid") from error


def _is_version(given: str) -> bool:
    return given.isascii() and given.isdecimal() and len(given) <= _MAX_VERSION_DIGITS


def _no_version(given: str) -> str:
    return f'resourceVersion: Invalid value: "{given}": strconv.ParseUint: parsing "{given}": invalid syntax'
