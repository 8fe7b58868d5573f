"""The cost of a journal's record does not depend on the records before it, and no writer's record is lost."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import CONFIG_MAP, NAMESPACE, PART_BYTES, Journal, Operation
from meshkit.errors import UnknownName, Unreachable
from meshkit.facts import Kind
from tests.unit.release.fake_api import FakeApi

APPLY = Operation("apply", "istio")


class CountingApi(FakeApi):
    """An API that counts the requests and the bytes that it stores for each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.stored_bytes: list[int] = []
        self.lose_answers = False

    def get(self, *place: Any, **named: Any) -> dict[str, Any] | None:
        self.requests.append("get")
        return super().get(*place, **named)

    def list(self, *place: Any, **named: Any) -> list[dict[str, Any]]:
        self.requests.append("list")
        return super().list(*place, **named)

    def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        self.requests.append("create")
        return self._counted(super().create(obj))

    def merge_patch(
        self, kind: Kind, name: str, namespace: str | None, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.requests.append("patch")
        stored = self._counted(super().merge_patch(kind, name, namespace, patch))
        if self.lose_answers:
            raise Unreachable("no answer", remedy="")
        return stored

    def _counted(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.stored_bytes.append(sum(map(len, (obj.get("data") or {}).values())))
        return obj


@pytest.fixture
def api() -> CountingApi:
    return CountingApi()


def journal(api: CountingApi) -> Journal:
    return Journal(cast(Cluster, SimpleNamespace(api=api)))


def noise(seed: int, length: int) -> str:
    """Text that does not shrink."""
    return random.Random(seed).randbytes(length).hex()


def parts(api: CountingApi) -> list[dict[str, Any]]:
    return FakeApi.list(api, CONFIG_MAP, NAMESPACE)


def test_a_long_journal_costs_a_record_what_a_short_one_does(api: CountingApi) -> None:
    writer = journal(api)
    change = writer.start(APPLY, "long")
    for n in range(300):
        api.requests.clear()
        api.stored_bytes.clear()
        writer.append(change, {"n": n, "noise": noise(n, 500)})
        assert "list" not in api.requests
        assert len(api.requests) <= 2
        assert sum(api.stored_bytes) < 10_000
    assert [record["n"] for record in writer.records(change)[1:]] == list(range(300))


def test_the_looks_of_an_hour_store_less_than_5_mb(api: CountingApi) -> None:
    """A window has some 45 watched edges for each version, and in a release every append stores the part."""
    writer, draw = journal(api), random.Random(1)
    change = writer.start(APPLY, "an hour")
    for n in range(720):
        slower = [draw.randrange(500) for _ in range(45)]
        arm = {"requests": 500, "errors": 1, "timed": 499, "slower": slower, "p50_ms": 20.5, "p99_ms": 80.1}
        told = {"sentences": [f"v2 answered {n} requests and is not worse than v1."] * 4, "harm": 0.1 * n}
        writer.append(change, {"kind": "look", "look": {"stable": arm, "canary": arm}, "verdict": told})
    assert sum(api.stored_bytes) < 5e6


def test_records_together_are_one_request_and_come_back_in_order(api: CountingApi) -> None:
    writer = journal(api)
    change = writer.start(APPLY, "together")
    api.requests.clear()
    writer.append_together(change, [{"n": n, "prior": {"a": "x" * 2000}} for n in range(250)])
    assert api.requests == ["patch"]
    writer.append(change, {"n": 250})
    found = writer.records(change)[1:]
    assert [record["n"] for record in found] == list(range(251))
    assert all(record["at"] for record in found)
    assert next(one for one in writer.changes() if one.id == change).state == "open"


def test_records_that_are_too_long_for_one_request_are_divided(api: CountingApi) -> None:
    writer = journal(api)
    change = writer.start(APPLY, "long ones")
    writer.append_together(change, [{"n": n, "noise": noise(n, 40_000)} for n in range(9)])
    assert [record["n"] for record in writer.records(change)[1:]] == list(range(9))
    assert all(sum(map(len, part["data"].values())) <= PART_BYTES for part in parts(api))


def test_records_that_would_expand_too_far_are_divided(api: CountingApi) -> None:
    writer = journal(api)
    change = writer.start(APPLY, "shrinking ones")
    writer.append_together(change, [{"n": n, "spaces": " " * 1_500_000} for n in range(4)])
    assert [record["n"] for record in writer.records(change)[1:]] == list(range(4))


def test_another_writer_is_seen_whatever_is_remembered(api: CountingApi) -> None:
    first, second = journal(api), journal(api)
    change = first.start(APPLY, "two writers")
    for n in range(0, 120, 2):
        first.append(change, {"n": n, "noise": noise(n, 700)})
        second.append(change, {"n": n + 1, "noise": noise(n + 1, 700)})
    assert [record["n"] for record in journal(api).records(change)[1:]] == list(range(120))


def test_a_record_whose_answer_was_lost_is_kept_beside_the_next(api: CountingApi) -> None:
    writer = journal(api)
    change = writer.start(APPLY, "lost answer")
    api.lose_answers = True
    with pytest.raises(Unreachable):
        writer.append(change, {"n": 0})
    api.lose_answers = False
    writer.append(change, {"n": 1})
    assert [record["n"] for record in writer.records(change)[1:]] == [0, 1]


def test_a_journal_that_others_have_deleted_is_an_unknown_change(api: CountingApi) -> None:
    writer = journal(api)
    change = writer.start(APPLY, "deleted")
    writer.append(change, {"n": 0})
    for part in parts(api):
        del api.objects["ConfigMap", NAMESPACE, part["metadata"]["name"]]
    with pytest.raises(UnknownName):
        writer.append(change, {"n": 1})
