"""A full disk, a damaged store, large objects, many watchers and objects, a reader that sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sqlite3
import ssl
import time
import warnings
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from meshkit.errors import SandboxError
from meshkit.sandbox.api.http import idle
from meshkit.sandbox.api.http import server as http
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage.reads import Reads
from meshkit.sandbox.api.storage.store import MAX_OBJECT_BYTES, Key, Store
from tests.unit.sandbox_api.server import CM, Connection, run


def key(name: str) -> Key:
    return Key("configmaps", "default", name)


def configmap(name: str, text: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "data": {"a": text}}


def names(store: Store) -> list[str]:
    return [stored.key.name for stored in store.objects("configmaps")]


# --- disk


def test_a_full_disk_refuses_the_write_and_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.create(key("before"), configmap("before"))
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 8}")

    def write_until_full() -> None:
        for i in range(100):
            store.create(key(f"c{i}"), configmap(f"c{i}", "x" * 3000))

    with pytest.raises(ApiError, match="disk is full") as refused:
        write_until_full()
    assert (refused.value.code, refused.value.reason) == (507, "InsufficientStorage")
    held = names(store)
    assert "before" in held
    rv = store.rv
    store._db.execute("PRAGMA max_page_count=1000000")
    store.create(key("after"), configmap("after"))
    assert store.rv == rv + 1
    store.close()
    again = Store(tmp_path / "store.db")
    assert names(again) == sorted([*held, "after"])
    again.close()


def damaged_head(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 500)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 + 8 : 5 * 4096] = b"\xff" * (4 * 4096 - 8)
    path.write_bytes(content)


def not_an_object(path: Path) -> None:
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("UPDATE object SET body='{' WHERE name='c1'")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_another_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()


@pytest.mark.parametrize(
    "damage", [damaged_head, cut_short, overwritten, not_an_object, emptied, of_another_program]
)
def test_a_damaged_store_is_told_in_a_sentence_and_kept(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "store.db"
    store = Store(path)
    for i in range(50):
        store.create(key(f"c{i}"), configmap(f"c{i}", "x" * 1000))
    store.close()
    damage(path)
    content = path.read_bytes()
    with pytest.raises(SandboxError) as refused:
        Store(path)
    assert "cannot be read" in refused.value.message
    assert "\n" not in refused.value.message
    assert path.read_bytes() == content


# --- size


def test_an_object_of_more_than_one_and_a_half_mebibytes_is_refused(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        labels = {"metadata": {"name": "big", "annotations": {"a": "x" * MAX_OBJECT_BYTES}}}
        status, body, _ = await to.request("POST", CM, json=labels)
        assert (status, body["reason"]) == (413, "RequestEntityTooLarge")
        assert "the limit is 1572864" in body["message"]
        assert (await to.request("GET", f"{CM}/big"))[0] == 404
        data = {"metadata": {"name": "big"}, "data": {"a": "x" * (1 << 20)}}
        assert (await to.request("POST", CM, json=data))[0] == 422
        status, body, _ = await to.request("POST", CM, data=b"x" * (4 << 20))
        assert (status, body["message"]) == (413, "Request entity too large: limit is 3145728")

    run(scenario, tmp_path)


# --- many


def test_ten_thousand_objects_are_listed_in_pages_of_one_moment(api: Any) -> None:
    for i in range(10_000):
        api.store.create(key(f"c{i:05}"), configmap(f"c{i:05}"))
    reads, resource = Reads(api.store), api.resource("configmaps")
    seen: list[str] = []
    proceed = ""
    while True:
        page = reads.page(resource, None, lambda obj: True, 500, proceed)
        seen += [stored.key.name for stored in page.items]
        if not proceed:
            api.store.delete(key("c09999"), api.store.get(key("c09999")).rv)
            api.store.create(key("new"), configmap("new"))
        proceed = page.proceed
        if not proceed:
            break
    assert seen == [f"c{i:05}" for i in range(10_000)]


def test_two_hundred_watchers_all_hear_of_a_change(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        async def watch(started: asyncio.Semaphore) -> str:
            url = to.url(f"{CM}?watch=true&timeoutSeconds=15")
            async with to.session.get(url) as answer:
                started.release()
                line = await answer.content.readline()
                return str(json.loads(line)["object"]["metadata"]["name"])

        started = asyncio.Semaphore(0)
        watches = [asyncio.create_task(watch(started)) for _ in range(200)]
        for _ in watches:
            await started.acquire()
        await to.request("POST", CM, json={"metadata": {"name": "news"}})
        assert set(await asyncio.gather(*watches)) == {"news"}

    run(scenario, tmp_path, connections=0)


def test_a_watcher_that_never_reads_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READER_PATIENCE_S", 0.3)

    async def scenario(to: Connection) -> None:
        context = ssl.create_default_context(cafile=str(to.home.ca_certificate))
        reader, writer = await asyncio.open_connection("127.0.0.1", to.server.port, ssl=context, limit=1024)
        token = to.home.token.read_text()
        writer.write(
            f"GET {CM}?watch=true HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        await reader.readline()
        writer.transport.pause_reading()
        watched = to.server._store._subscriptions["configmaps"]
        assert len(watched) == 1
        deadline_s = time.monotonic() + 15
        number = 0
        while watched and time.monotonic() < deadline_s:
            number += 1
            name = f"c{number % 5}"
            body = {"metadata": {"name": name}, "data": {"a": f"{number}" + "x" * 400_000}}
            method, path = ("POST", CM) if number <= 5 else ("PUT", f"{CM}/c{number % 5}")
            await to.request(method, path, json=body)
        assert not watched
        assert (await to.request("GET", f"{CM}/c1"))[0] == 200
        writer.transport.abort()

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /version HTTP/1.1\r\nHost: x\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "nothing more", "half a body"],
)
def test_a_connection_that_waits_for_its_client_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.4)
    monkeypatch.setattr(idle, "BODY_S", 0.3)

    async def scenario(to: Connection) -> None:
        context = ssl.create_default_context(cafile=str(to.home.ca_certificate))
        reader, writer = await asyncio.open_connection("127.0.0.1", to.server.port, ssl=context)
        writer.write(begun.replace(b"TOKEN", to.home.token.read_bytes()))
        with contextlib.suppress(ConnectionError):
            answer = await asyncio.wait_for(reader.read(), 20)
            if b"POST" in begun:
                assert answer.startswith(b"HTTP/1.1 504")
        writer.close()

    run(scenario, tmp_path)


def test_a_watch_without_an_event_is_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.2)

    async def scenario(to: Connection) -> None:
        async with to.session.get(to.url(f"{CM}?watch=true&resourceVersion=0")) as watch:
            seen = asyncio.create_task(watch.content.readline())
            await asyncio.sleep(0.8)
            await to.request("POST", CM, json={"metadata": {"name": "a"}})
            while b'"name":"a"' not in await asyncio.wait_for(seen, 5):
                seen = asyncio.create_task(watch.content.readline())

    run(scenario, tmp_path)


def test_a_connection_that_its_client_keeps_ends_with_the_server(tmp_path: Path) -> None:
    """A client that does not read does not answer the end of TLS either."""
    kept = []

    def call(to: Connection) -> None:
        context = ssl.create_default_context(cafile=str(to.home.ca_certificate))
        kept.append(HTTPSConnection("127.0.0.1", to.server.port, context=context))
        kept[0].request("GET", "/version")
        kept[0].getresponse().read()

    async def scenario(to: Connection) -> None:
        await asyncio.to_thread(call, to)

    gc.collect()
    with warnings.catch_warnings(record=True) as leaks:
        warnings.simplefilter("always", ResourceWarning)
        run(scenario, tmp_path)
        gc.collect()
    kept[0].close()
    assert [str(leak.message) for leak in leaks] == []
