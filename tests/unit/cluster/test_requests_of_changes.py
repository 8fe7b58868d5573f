"""How many requests plan, apply and undo send for each object: what they cost grows with the objects only."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.errors import ChangeFailed, Conflict
from meshkit.facts import ClusterRef, Kind
from meshkit.kube.steps import Step
from meshkit.operations.change import apply_steps, plan_steps, undo_steps
from meshkit.operations.plan import Plan
from tests.unit.release.fake_api import FakeApi

CONFIG_MAP, NAMESPACE = Kind("v1", "ConfigMap"), "shop"


class CountingApi(FakeApi):
    """An API that counts the requests, and refuses an apply for another resourceVersion or uid."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        self.requests["get"] += 1
        return super().get(kind, name, namespace)

    def list(self, *place: Any, **named: Any) -> list[dict[str, Any]]:
        self.requests["list"] += 1
        return super().list(*place, **named)

    def list_few(self, kind: Kind, namespace: str | None, *, at_most: int) -> list[dict[str, Any]] | None:
        found = self.list(kind, namespace)
        return found if len(found) <= at_most else None

    def apply(self, obj: Mapping[str, Any], *, dry_run: bool = False, **_: Any) -> dict[str, Any]:
        with self._lock:
            self.requests["dry run" if dry_run else "apply"] += 1
            meta = obj["metadata"]
            live = self.objects.get((obj["kind"], meta.get("namespace") or "", meta["name"]))
            asked = meta.get("resourceVersion")
            if live is not None and asked not in (None, live["metadata"]["resourceVersion"]):
                raise Conflict("the object has been modified.", remedy="")
            uid = live["metadata"]["uid"] if live else f"uid-{meta['name']}"
            after = {**obj, "metadata": {**meta, "uid": uid}}
            return after if dry_run else self._stored(after)

    def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        self.requests["create"] += 1
        return super().create(obj)

    def merge_patch(self, *place: Any, **named: Any) -> dict[str, Any]:
        self.requests["patch"] += 1
        return super().merge_patch(*place, **named)

    def json_patch(self, *place: Any, manager: str = "meshkit", **named: Any) -> dict[str, Any]:
        with self._lock:
            self.requests["patch"] += 1
            return super().json_patch(*place, manager=manager, **named)

    def delete(self, kind: Kind, name: str, namespace: str | None = None, **_: Any) -> bool:
        self.requests["delete"] += 1
        del self.objects[kind.kind, namespace or "", name]
        return True

    def counted(self) -> Counter[str]:
        """The requests since the last call."""
        counted, self.requests = self.requests, Counter()
        return counted


class CountingCluster:
    def __init__(self) -> None:
        self.api = CountingApi()
        self.context = self.server = "fake"
        self.ref = ClusterRef("fake", "fake")


def steps(count: int) -> list[Step]:
    metas = ({"name": f"one-{number}", "namespace": NAMESPACE} for number in range(count))
    return [
        Step({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}}, wave=1)
        for meta in metas
    ]


def planned(fake: CountingCluster, count: int) -> Plan:
    return plan_steps(steps(count), cast(Cluster, fake), Operation("apply", "istio"), what="Test")


def requests_of(count: int) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """The requests of a plan, of its apply and of the undo, which create and delete so many objects."""
    fake = CountingCluster()
    cluster = cast(Cluster, fake)
    plan = planned(fake, count)
    of_plan = fake.api.counted()
    change = apply_steps(plan, cluster)
    of_apply = fake.api.counted()
    assert len(FakeApi.list(fake.api, CONFIG_MAP, NAMESPACE)) == count
    undo_steps(change.id, cluster)
    assert not FakeApi.list(fake.api, CONFIG_MAP, NAMESPACE)
    return of_plan, of_apply, fake.api.counted()


def test_each_object_costs_one_request_in_plan_apply_and_undo() -> None:
    fewer, more = requests_of(40), requests_of(120)
    for before, after, verb in zip(fewer, more, ("dry run", "apply", "delete"), strict=True):
        others = after - before
        assert others.pop(verb) == 80
        assert others.total() <= 80 / 20, (verb, others)  # parts of the journal


def test_an_object_that_others_create_meanwhile_is_refused_by_the_server_and_stays() -> None:
    fake = CountingCluster()
    plan = planned(fake, 20)
    stored = fake.api.apply

    def interfering(obj: Mapping[str, Any], **named: Any) -> dict[str, Any]:
        if obj["metadata"]["name"] == "one-3":
            FakeApi.apply(
                fake.api, {**obj, "metadata": {**obj["metadata"], "uid": "theirs"}, "data": {"a": "b"}}
            )
        return stored(obj, **named)

    fake.api.apply = interfering  # type: ignore[method-assign]
    with pytest.raises(
        (Conflict, ChangeFailed), match="ConfigMap shop/one-3 has been created by someone else"
    ):
        apply_steps(plan, cast(Cluster, fake))
    left = FakeApi.list(fake.api, CONFIG_MAP, NAMESPACE)
    assert [obj["metadata"]["name"] for obj in left] == ["one-3"]
