"""Lists in pages and watches: the read side of the API server.

A page is cut from a snapshot (a list of references to immutable objects), so that all pages of a list show
one moment. A watch subscribes before it replays, so that nothing falls between; a change that both bring
is told by its resourceVersion.
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

_SNAPSHOTS = 64  # unfinished lists whose next page can still be asked for
_BOOKMARK_EVERY_S = 60.0
_WATCH_S = (
    1800.0,
    3600.0,
)  # how long a watch lives that names no timeout, kube-apiserver's --min-request-timeout
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


_MAX_VERSION_DIGITS = 20  # of 64 bits


@dataclass(frozen=True)
class Page:
    """A part of a list, the resourceVersion of its moment, and how to go on."""

    items: list[Stored]
    rv: int
    proceed: str = ""
    remaining: int = 0


@dataclass(frozen=True)
class Notice:
    """One line of a watch: an object, or for BOOKMARK and ERROR what to say instead."""

    type: str
    stored: Stored | None = None
    message: dict[str, Any] | None = None


@dataclass(frozen=True)
class WatchQuery:
    """The parameters of a watch request that bear on its course."""

    resource_version: str = ""
    initial_events: bool | None = None
    version_match: str = ""
    bookmarks: bool = False
    timeout_s: float | None = None


class Reads:
    """Lists and watches of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[int, tuple[int, list[Stored]]] = OrderedDict()
        self._next_snapshot = random.getrandbits(32)

    # --- lists

    def page(
        self, resource: Resource, namespace: str | None, matches: Matcher, limit: int, proceed: str
    ) -> Page:
        """The first page, or the one after ``proceed``. Raises ApiError 410 when the rest has been
        forgotten.
        """
        if proceed:
            number, start = _position(proceed)
            if number not in self._snapshots:
                raise status.expired(
                    "The provided continue parameter is too old to display a consistent list result. "
                    "You must start a new list without the continue parameter."
                )
            rv, found = self._snapshots[number]
        else:
            rv, start, number = self._store.rv, 0, 0
            found = [each for each in self._store.objects(resource.key, namespace) if matches(each.object)]
        end = start + limit if limit else len(found)
        if end >= len(found):
            return Page(found[start:], rv)
        if not proceed:
            number = self._remember(rv, found)
        return Page(found[start:end], rv, _token(number, end), len(found) - end)

    def _remember(self, rv: int, found: list[Stored]) -> int:
        self._next_snapshot += 1
        self._snapshots[self._next_snapshot] = (rv, found)
        while len(self._snapshots) > _SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return self._next_snapshot

    # --- watches

    async def watch(
        self, resource: Resource, namespace: str | None, matches: Matcher, query: WatchQuery
    ) -> AsyncGenerator[Notice]:
        """The course of a watch, until its time is over, its definition changes or its reader sleeps."""
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
        """Raise ApiError for a resourceVersion that no list can be asked at, or is not kept any more."""
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
        self._must_have_come(resource_version)
        if match == "Exact" and int(resource_version) != self._store.rv:
            raise status.expired(f"too old resource version: {resource_version}")

    def _must_have_come(self, resource_version: str) -> None:
        if int(resource_version or 0) > self._store.rv:
            message = f"Too large resource version: {resource_version}, current: {self._store.rv}"
            details = {
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            }
            raise status.ApiError(504, "Timeout", f"Timeout: {message}", details)

    def check(self, query: WatchQuery) -> None:
        """Raise ApiError for parameters that no watch can have."""
        if query.initial_events is not None and query.version_match != "NotOlderThan":
            cause = status.Cause(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
            raise status.invalid("ListOptions", "meta.k8s.io", "", [cause])
        if query.resource_version and not _is_version(query.resource_version):
            raise status.bare(500, _no_version(query.resource_version))
        self._must_have_come(query.resource_version)

    def _past(
        self, resource: Resource, namespace: str | None, matches: Matcher, query: WatchQuery
    ) -> Iterator[Notice]:
        """What has been: every object, or the changes since the resourceVersion."""
        everything = (
            query.resource_version in ("", "0") if query.initial_events is None else query.initial_events
        )
        if everything:
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
                    gone = status.expired(
                        "the watch has fallen behind or its resource has changed; list again"
                    )
                    yield Notice("ERROR", message=gone.status())
                return
            notice = _notice(change, namespace, matches) if change.now.rv > seen_rv else None
            if notice is not None:
                yield notice


def _notice(change: Change, namespace: str | None, matches: Matcher) -> Notice | None:
    """What a change means to a watch with a selector: coming into its sight is ADDED, leaving it DELETED."""
    if namespace is not None and change.now.key.namespace != namespace:
        return None
    was = change.before is not None and matches(change.before)
    if change.type == "DELETED":
        return Notice("DELETED", change.now) if was else None
    if matches(change.now.object):
        return Notice("MODIFIED" if was else "ADDED", change.now)
    return Notice("DELETED", change.now) if was else None


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
