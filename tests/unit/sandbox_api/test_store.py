"""The store: what it acknowledges it keeps, and a watch brings a reader to what a list shows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.errors import SandboxError
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage.store import Change, Exists, Key, Missing, Stale, Store


def thing(name: str, value: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value}


def key(name: str) -> Key:
    return Key("things", "default", name)


def test_a_reopened_store_holds_what_was_written(tmp_path: Path) -> None:
    first = Store(tmp_path / "store.db")
    first.create(key("a"), thing("a"))
    updated = first.update(key("a"), thing("a", 1), first.rv)
    first.create(key("b"), thing("b"))
    first.delete(key("b"), first.rv)
    first.close()
    again = Store(tmp_path / "store.db")
    assert [stored.object for stored in again.objects("things")] == [updated.object]
    assert again.rv == updated.rv + 2
    assert [change.type for change in again.changes("things", 1)] == ["ADDED", "MODIFIED", "ADDED", "DELETED"]
    again.close()


def test_a_write_that_was_not_acknowledged_leaves_no_trace(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.create(key("a"), thing("a"))
    before = store.rv
    store._db.execute("PRAGMA query_only=ON")
    with pytest.raises(ApiError, match="rejected the write"):
        store.create(key("b"), thing("b"))
    assert store.get(key("b")) is None
    assert store.rv == before
    store._db.execute("PRAGMA query_only=OFF")
    assert store.create(key("b"), thing("b")).rv == before + 1
    store.close()


def test_a_file_that_is_no_store_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(SandboxError, match="cannot be read"):
        Store(path)


def test_writers_that_saw_an_older_object_are_refused() -> None:
    store = Store(":memory:")
    seen = store.create(key("a"), thing("a"))
    store.update(key("a"), thing("a", 1), seen.rv)
    with pytest.raises(Stale):
        store.update(key("a"), thing("a", 2), seen.rv)
    with pytest.raises(Stale):
        store.delete(key("a"), seen.rv)
    with pytest.raises(Exists):
        store.create(key("a"), thing("a"))
    with pytest.raises(Missing):
        store.delete(key("b"), 1)
    store.close()


def test_changes_older_than_kept_are_expired() -> None:
    store = Store(":memory:", keep=20)
    for number in range(60):
        store.create(key(f"n{number}"), thing(f"n{number}"))
    with pytest.raises(ApiError) as refused:
        store.changes("things", 2)
    assert refused.value.code == 410
    assert refused.value.reason == "Expired"
    assert len(store.changes("things", store.rv - 20)) == 20
    store.close()


def test_a_subscriber_that_does_not_read_is_dropped_and_the_store_goes_on() -> None:
    async def scenario() -> None:
        store = Store(":memory:")
        sleeping = store.subscribe("things", limit=3)
        for number in range(10):
            store.create(key(f"n{number}"), thing(f"n{number}"))
        assert await sleeping.next() is None
        assert len(store.objects("things")) == 10
        store.close()

    asyncio.run(scenario())


operations = st.lists(
    st.tuples(st.sampled_from("cud"), st.sampled_from("abcd"), st.integers(0, 3)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(operations, st.integers(0, 30))
def test_replaying_changes_from_any_moment_gives_the_list(
    steps: list[tuple[str, str, int]], cut: int
) -> None:
    store = Store(":memory:")
    replica: dict[Key, dict[str, Any]] = {}
    since = store.rv
    for number, step in enumerate(steps):
        if number == cut:
            replica = {stored.key: stored.object for stored in store.objects("things")}
            since = store.rv
        _perform(store, *step)
    for change in store.changes("things", since):
        _follow(replica, change)
    assert replica == {stored.key: stored.object for stored in store.objects("things")}
    store.close()


def _perform(store: Store, operation: str, name: str, value: int) -> None:
    present = store.get(key(name))
    if present is None:
        store.create(key(name), thing(name, value))
    elif operation == "d":
        store.delete(key(name), present.rv)
    else:
        store.update(key(name), thing(name, value), present.rv)


def _follow(replica: dict[Key, dict[str, Any]], change: Change) -> None:
    if change.type == "DELETED":
        del replica[change.now.key]
    else:
        assert (change.now.key in replica) == (change.type == "MODIFIED")
        replica[change.now.key] = change.now.object
