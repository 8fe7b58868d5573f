"""Store of objects and their change history in SQLite, with an in-memory cache for reads.

A write is one SQLite transaction with the object, its change and the counter (``resourceVersion``). It then
updates the cache and notifies the watchers. Writes are acknowledged only after the commit (WAL,
synchronous=NORMAL: a process crash loses nothing, a power failure may lose the last transactions). Reads use
the cache only. The change history lets a watch resume from a resourceVersion. It keeps ``keep`` changes; a
watch that resumes from an older one fails with ``Expired``.

The store has no locks, because one event loop uses it. Returned objects are shared: callers must not modify
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from meshkit.errors import SandboxError
from meshkit.sandbox.api import status

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  resource TEXT, namespace TEXT, name TEXT, rv INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (
  rv INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  type TEXT NOT NULL, body BLOB NOT NULL, before BLOB);
CREATE INDEX IF NOT EXISTS change_of_resource ON change (resource, rv);
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), rv INTEGER, compacted INTEGER);
INSERT OR IGNORE INTO counter VALUES (1, 1, 0);
"""


_TABLES = {"object", "change", "counter"}
_MEMORY = ":memory:"
MAX_OBJECT_BYTES = 3 << 19  # 1.5 MiB: etcd --max-request-bytes


class Key(NamedTuple):
    """Identify one object.

    ``resource`` is, for example, ``deployments.apps``; ``namespace`` is empty for cluster-scoped resources.
    """

    resource: str
    namespace: str
    name: str


class Missing(Exception):
    """Raised when no object has the key."""


class Exists(Exception):
    """Raised when an object with the key already exists."""


class Stale(Exception):
    """Raised when the object is no longer at the resourceVersion that the writer read."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold the current version of one object.

    ``body`` is its encoding, which lists and watches send.
    """

    key: Key
    rv: int
    object: dict[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """Represent one write.

    ``before`` is the replaced object, which a watch with a selector needs to detect objects that stop
    matching.
    """

    type: ChangeType
    now: Stored
    before: dict[str, Any] | None


class Subscription:
    """Queue of the changes of one resource from the time of subscription.

    The subscription ends when a slow reader leaves ``limit`` changes unread.
    """

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue(limit)
        self.ended = False

    def offer(self, change: Change) -> None:
        """Queue a change; called by the store."""
        if self.ended:
            return
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """End the subscription, discarding unread changes."""
        self.ended = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self) -> Change | None:
        """Return the next change, or None when the subscription has ended."""
        return await self._queue.get()


def _create(path: Path) -> None:
    """Create an empty store. A file of this name is always a whole store, even if this process is killed."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.executescript(_SCHEMA)
    draft.replace(path)


class Store:
    """Store the objects of one sandbox.

    ``keep`` is the number of changes over which a watch can be resumed.
    """

    def __init__(self, path: Path | str, *, keep: int = 10_000) -> None:
        self._keep = keep
        self.closed = False
        self._objects: dict[str, dict[Key, Stored]] = {}
        self._subscriptions: dict[str, set[Subscription]] = {}
        in_memory = path == _MEMORY
        try:
            if not in_memory and not Path(path).exists():
                _create(Path(path))
            self._db = sqlite3.connect(path, isolation_level=None)
            self._open(is_new=in_memory)
        except (sqlite3.Error, ValueError, OSError) as error:
            raise SandboxError(
                f"The sandbox's store {path} cannot be read: {error}. The file was not changed.",
                remedy="Free the disk, or move the file away to start an empty sandbox.",
            ) from error

    def _open(self, *, is_new: bool) -> None:
        try:
            if not is_new:
                self._check()
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            self._load()
        except (sqlite3.Error, ValueError):
            self._db.close()
            raise

    def _check(self) -> None:
        """Detect a damaged file before anything is written to it."""
        (result,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise sqlite3.DatabaseError(" ".join(result.split()))
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if not tables >= _TABLES:
            raise sqlite3.DatabaseError("it is empty, or another program's")

    def _load(self) -> None:
        self.rv, self.compacted = self._db.execute("SELECT rv, compacted FROM counter").fetchone()
        for resource, namespace, name, rv, body in self._db.execute("SELECT * FROM object"):
            key = Key(resource, namespace, name)
            self._objects.setdefault(resource, {})[key] = Stored(key, rv, json.loads(body), body)

    def end_watches(self) -> None:
        """End every subscription at shutdown."""
        self.closed = True
        for resource in list(self._subscriptions):
            self.end_subscriptions(resource)

    def close(self) -> None:
        """End every subscription and close the database."""
        self.end_watches()
        self._db.close()

    # --- reads

    def get(self, key: Key) -> Stored | None:
        """Return the object, or None."""
        return self._objects.get(key.resource, {}).get(key)

    def objects(self, resource: str, namespace: str | None = None) -> list[Stored]:
        """Return every object of a resource, ordered by namespace and name."""
        by_key = self._objects.get(resource, {})
        keys = by_key if namespace is None else (key for key in by_key if key.namespace == namespace)
        return [by_key[key] for key in sorted(keys)]

    def resources_in(self, namespace: str) -> Iterator[Key]:
        """Yield the keys of every object in a namespace."""
        for by_key in list(self._objects.values()):
            yield from [key for key in by_key if key.namespace == namespace]

    # --- writes

    def create(self, key: Key, obj: dict[str, Any]) -> Stored:
        """Create an object. Raises Exists."""
        if self.get(key) is not None:
            raise Exists(key)
        return self._write("ADDED", key, obj, None)

    def update(self, key: Key, obj: dict[str, Any], seen_rv: int) -> Stored:
        """Replace an object that is still at ``seen_rv``. Raises Missing or Stale."""
        before = self._at(key, seen_rv)
        return self._write("MODIFIED", key, obj, before)

    def delete(self, key: Key, seen_rv: int) -> Stored:
        """Delete an object that is still at ``seen_rv``; return its last state at a new resourceVersion."""
        before = self._at(key, seen_rv)
        last = {**before.object, "metadata": dict(before.object["metadata"])}
        return self._write("DELETED", key, last, before)

    def _at(self, key: Key, seen_rv: int) -> Stored:
        before = self.get(key)
        if before is None:
            raise Missing(key)
        if before.rv != seen_rv:
            raise Stale(key)
        return before

    def _write(self, kind: ChangeType, key: Key, obj: dict[str, Any], before: Stored | None) -> Stored:
        rv = self.rv + 1
        obj["metadata"]["resourceVersion"] = str(rv)
        now = Stored(key, rv, obj, json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode())
        if len(now.body) > MAX_OBJECT_BYTES and kind != "DELETED":
            raise status.too_large(f"the object has {len(now.body)} bytes, the limit is {MAX_OBJECT_BYTES}")
        try:
            self._persist(kind, now, before)
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _refused(error) from error
        self.rv = rv
        by_key = self._objects.setdefault(key.resource, {})
        if kind == "DELETED":
            by_key.pop(key, None)
        else:
            by_key[key] = now
        change = Change(kind, now, before.object if before else None)
        for subscription in self._subscriptions.get(key.resource, ()):
            subscription.offer(change)
        return now

    def _persist(self, kind: ChangeType, now: Stored, before: Stored | None) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        if kind == "DELETED":
            self._db.execute("DELETE FROM object WHERE resource=? AND namespace=? AND name=?", now.key)
        else:
            self._db.execute("INSERT OR REPLACE INTO object VALUES (?,?,?,?,?)", (*now.key, now.rv, now.body))
        self._db.execute(
            "INSERT INTO change VALUES (?,?,?,?,?,?,?)",
            (now.rv, *now.key, kind, now.body, before.body if before else None),
        )
        compacted = self.compacted
        if now.rv - self._keep >= compacted + self._keep // 10:
            compacted = now.rv - self._keep
            self._db.execute("DELETE FROM change WHERE rv <= ?", (compacted,))
        self._db.execute("UPDATE counter SET rv=?, compacted=?", (now.rv, compacted))
        self._db.execute("COMMIT")
        self.compacted = compacted

    # --- watching

    def changes(self, resource: str, after: int) -> list[Change]:
        """Return the changes since ``after``, oldest first. Raises ApiError 410 when they are compacted."""
        if after < self.compacted:
            raise status.expired(f"too old resource version: {after} ({self.compacted})")
        rows = self._db.execute(
            "SELECT namespace, name, rv, type, body, before FROM change "
            "WHERE resource=? AND rv>? ORDER BY rv",
            (resource, after),
        )
        return [
            Change(
                kind,
                Stored(Key(resource, namespace, name), rv, json.loads(body), body),
                json.loads(before) if before else None,
            )
            for namespace, name, rv, kind, body, before in rows
        ]

    def subscribe(self, resource: str, *, limit: int = 10_000) -> Subscription:
        """Subscribe to every future change of a resource; end the subscription with ``unsubscribe``."""
        subscription = Subscription(limit)
        self._subscriptions.setdefault(resource, set()).add(subscription)
        return subscription

    def unsubscribe(self, resource: str, subscription: Subscription) -> None:
        """Remove a subscription."""
        self._subscriptions.get(resource, set()).discard(subscription)

    def end_subscriptions(self, resource: str) -> None:
        """End the watches of a resource whose definition has changed or been deleted."""
        for subscription in self._subscriptions.pop(resource, set()):
            subscription.end()


def _refused(error: sqlite3.Error) -> status.ApiError:
    """Return the API error for a failed write, which SQLite has rolled back."""
    if getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
        return status.ApiError(
            507,
            "InsufficientStorage",
            f"the sandbox's disk is full ({error}): the write was rejected, earlier writes are intact; "
            "free some disk space and try again",
        )
    return status.internal(f"the sandbox's store rejected the write: {error}")
