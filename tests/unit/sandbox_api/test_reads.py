"""Pages and watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage import selectors
from meshkit.sandbox.api.storage.reads import INITIAL_EVENTS_END, Notice, Reads, WatchQuery


async def configmap(api: Any, name: str, **labels: str) -> dict[str, Any]:
    made: dict[str, Any] = await api.client.create(
        "configmaps", {"metadata": {"name": name, "labels": labels}}
    )
    return made


def watch(api: Any, query: WatchQuery, labels: str = "") -> AsyncIterator[Notice]:
    return Reads(api.store).watch(api.resource("configmaps"), "default", selectors.query(labels, None), query)


async def take(course: AsyncIterator[Notice], count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            notice = await anext(course)
            name = notice.stored.key.name if notice.stored else notice.type
            found.append((notice.type, name))
    return found


def test_pages_show_one_moment(api: Any) -> None:
    async def scenario() -> None:
        for name in "abcde":
            await configmap(api, name)
        reads = Reads(api.store)
        resource = api.resource("configmaps")
        first = reads.page(resource, None, selectors.everything, 2, "")
        assert first.remaining == 3
        await configmap(api, "aa")
        await api.client.delete("configmaps", "e")
        names = [each.key.name for each in first.items]
        proceed = first.proceed
        while proceed:
            page = reads.page(resource, None, selectors.everything, 2, proceed)
            assert page.rv == first.rv
            names += [each.key.name for each in page.items]
            proceed = page.proceed
        assert names == list("abcde")

    asyncio.run(scenario())


@pytest.mark.parametrize(("token", "code"), [("W10=", 400), ("nonsense!", 400), ("WzEsIDJd", 410)])
def test_a_bad_or_forgotten_continue_token_is_refused(api: Any, token: str, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        Reads(api.store).page(api.resource("configmaps"), None, selectors.everything, 2, token)
    assert refused.value.code == code


def test_a_watch_without_version_begins_with_everything(api: Any) -> None:
    async def scenario() -> None:
        await configmap(api, "a")
        course = watch(api, WatchQuery())
        assert await take(course, 1) == [("ADDED", "a")]
        await configmap(api, "b")
        await api.client.delete("configmaps", "a")
        assert await take(course, 2) == [("ADDED", "b"), ("DELETED", "a")]

    asyncio.run(scenario())


def test_a_watch_from_a_version_replays_what_came_after(api: Any) -> None:
    async def scenario() -> None:
        seen = (await configmap(api, "a"))["metadata"]["resourceVersion"]
        await configmap(api, "b")
        course = watch(api, WatchQuery(seen))
        assert await take(course, 1) == [("ADDED", "b")]

    asyncio.run(scenario())


def test_a_watch_with_a_selector_sees_objects_come_and_go(api: Any) -> None:
    async def scenario() -> None:
        course = watch(api, WatchQuery(str(api.store.rv)), "app=web")
        await configmap(api, "a", app="web")
        await configmap(api, "b", app="db")
        for value in ("db", "web"):
            await api.client.merge_patch("configmaps", "a", None, {"metadata": {"labels": {"app": value}}})
        await api.client.delete("configmaps", "b")
        await api.client.delete("configmaps", "a")
        assert await take(course, 4) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a"), ("DELETED", "a")]

    asyncio.run(scenario())


def test_a_watch_list_ends_its_beginning_with_a_bookmark(api: Any) -> None:
    async def scenario() -> None:
        await configmap(api, "a")
        course = watch(api, WatchQuery("", True, "NotOlderThan", True))
        assert await take(course, 1) == [("ADDED", "a")]
        bookmark = await anext(course)
        assert bookmark.message is not None
        assert bookmark.message["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}
        assert bookmark.message["metadata"]["resourceVersion"] == str(api.store.rv)

    asyncio.run(scenario())


def test_a_watch_list_needs_its_match_rule(api: Any) -> None:
    with pytest.raises(ApiError) as refused:
        Reads(api.store).check(WatchQuery("", True))
    assert refused.value.code == 422


def test_a_watch_ends_at_its_timeout_with_a_bookmark(api: Any) -> None:
    async def scenario() -> None:
        course = watch(api, WatchQuery(str(api.store.rv), bookmarks=True, timeout_s=0.05))
        assert [notice.type async for notice in course] == ["BOOKMARK"]

    asyncio.run(scenario())


def test_a_version_that_has_been_compacted_away_ends_in_a_410_event(api: Any) -> None:
    async def scenario() -> None:
        api.store.compacted = api.store.rv
        (notice,) = [notice async for notice in watch(api, WatchQuery("1"))]
        assert notice.type == "ERROR"
        assert notice.message is not None
        assert (notice.message["code"], notice.message["reason"]) == (410, "Expired")

    asyncio.run(scenario())


def test_a_version_of_the_future_is_refused(api: Any) -> None:
    with pytest.raises(ApiError, match="Too large resource version"):
        Reads(api.store).check(WatchQuery("999999"))


def test_a_watch_ends_when_its_definition_goes(api: Any) -> None:
    async def scenario() -> None:
        await api.define_widgets()
        resource = api.resource("widgets.example.com")
        course = Reads(api.store).watch(resource, None, selectors.everything, WatchQuery(str(api.store.rv)))
        pending = asyncio.ensure_future(anext(course))
        await asyncio.sleep(0)
        await api.client.delete("customresourcedefinitions.apiextensions.k8s.io", "widgets.example.com")
        assert (await pending).type == "ERROR"

    asyncio.run(scenario())


def test_the_local_watch_starts_over_when_its_reader_slept(api: Any) -> None:
    async def scenario() -> None:
        await configmap(api, "a")
        course = api.client.watch("configmaps")
        assert (await anext(course)).object["metadata"]["name"] == "a"
        pending = asyncio.ensure_future(anext(course))
        await asyncio.sleep(0)
        api.store.end_subscriptions("configmaps")
        assert (await pending).type == "ADDED"
        await course.aclose()

    asyncio.run(scenario())
