"""A Snapshot finds objects as a walk over all of them would, also after objects were written over it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from meshkit.facts import Object, Snapshot

KINDS = (("v1", "Pod"), ("v1", "Service"), ("a.dev/v1", "Service"), ("v1", "Namespace"))


def obj(api: str, kind: str, name: str, namespace: str | None, **more: Any) -> Object:
    meta = {"name": name, **({} if namespace is None else {"namespace": namespace}), **more}
    return {"apiVersion": api, "kind": kind, "metadata": meta}


def some(random: random.Random, count: int) -> list[Object]:
    found = {}
    for number in range(count):
        api, kind = random.choice(KINDS)
        namespace = None if kind == "Namespace" else f"n{random.randrange(3)}"
        one = obj(api, kind, f"o{random.randrange(12)}", namespace, labels={"mark": str(number)})
        found[api, kind, one["metadata"]["name"], namespace] = one
    return list(found.values())


def marks(found: Any) -> list[str]:
    return [one["metadata"]["labels"]["mark"] for one in found]


def label(one: Object) -> tuple[str, ...]:
    return (str(int(one["metadata"]["labels"]["mark"]) % 3),)


def plainly(objects: list[Object], written: list[Object]) -> list[Object]:
    """The objects after those that are written, by the plain definition."""

    def identity(one: Object) -> tuple[Any, ...]:
        meta = one["metadata"]
        return one["apiVersion"], one["kind"], meta.get("namespace"), meta["name"]

    held = {identity(one): one for one in objects}
    for one in written:
        held[identity(one)] = one
    return list(held.values())


@pytest.mark.parametrize("case", range(20))
def test_every_question_is_answered_as_by_a_walk(case: int) -> None:
    chance = random.Random(case)
    read, first, second = (some(chance, count) for count in (30, 6, 6))
    snapshot = Snapshot(read)
    assert marks(snapshot.having(label, "1")) == marks(one for one in read if label(one) == ("1",))
    snapshot = snapshot.written(first).written(second)
    objects = plainly(plainly(read, first), second)
    assert marks(snapshot.objects) == marks(objects)
    assert marks(snapshot.having(label, "0", "2")) == marks(one for one in objects if label(one) != ("1",))
    for kind in ("Pod", "Service", "Namespace", "None"):
        for namespace in (None, "n0", "n1", "none"):
            held = [
                one
                for one in objects
                if one["kind"] == kind and namespace in (None, one["metadata"].get("namespace"))
            ]
            assert marks(snapshot.of(kind, namespace)) == marks(held)
            for name in ("o1", "o2", "none"):
                first_named = [one for one in held if one["metadata"]["name"] == name][:1]
                found = snapshot.find(kind, name, namespace)
                assert [found] == first_named if first_named else found is None


def test_an_answer_is_computed_again_only_after_a_kind_that_it_depends_on_was_written() -> None:
    snapshot = Snapshot([obj("v1", "Pod", "a", "n0")])
    asked: list[int] = []

    def pods(seen: Snapshot) -> int:
        asked.append(1)
        return sum(1 for _ in seen.of("Pod"))

    service = snapshot.written([obj("v1", "Service", "s", "n0")])
    assert [each.remembered("pods", ("Pod",), pods) for each in (snapshot, service, snapshot)] == [1, 1, 1]
    assert len(asked) == 1
    more = service.written([obj("v1", "Pod", "b", "n0")])
    assert more.remembered("pods", ("Pod",), pods) == 2
    assert snapshot.remembered("pods", ("Pod",), pods) == 1


def test_what_is_written_over_a_snapshot_does_not_change_it() -> None:
    snapshot = Snapshot([obj("v1", "Pod", "a", "n0", labels={"x": "1"})])
    after = snapshot.written([obj("v1", "Pod", "a", "n0", labels={"x": "2"})])
    assert [snapshot.find("Pod", "a", "n0"), after.find("Pod", "a", "n0")] == [
        *snapshot.objects,
        *after.objects,
    ]
    assert snapshot != after
    assert snapshot == Snapshot(snapshot.objects)
