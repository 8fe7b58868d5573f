"""What an account may not read is narrowed or left out, and named."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.snapshot import read
from meshkit.errors import Forbidden
from meshkit.facts import Kind, Need

POD, NODE = Kind("v1", "Pod"), Kind("v1", "Node")
MINE = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}}


class OneNamespace:
    """A cluster of which the account may read the pods of one namespace."""

    @property
    def api(self) -> OneNamespace:
        return self

    def list(self, kind: Kind, namespace: str | None) -> list[dict[str, Any]]:
        if (kind, namespace) != (POD, "shop"):
            raise Forbidden(f"may not list {kind.kind}", remedy="Ask.")
        return [MINE]


CLUSTER = cast(Cluster, OneNamespace())


def test_an_optional_need_is_narrowed_to_a_namespace_and_named() -> None:
    found = read(CLUSTER, [Need(POD, within=("shop",), optional=True), Need(NODE, optional=True)])
    assert found.objects == (MINE,)
    assert found.unread == ("Pod outside shop", "Node")


def test_any_other_need_raises() -> None:
    with pytest.raises(Forbidden):
        read(CLUSTER, [Need(POD)])


class Counting:
    """A cluster with a pod in each of some namespaces; it counts the lists that are asked of it."""

    def __init__(self, *, whole: bool = True) -> None:
        self.lists: list[tuple[Kind, str | None]] = []
        self.whole = whole

    @property
    def api(self) -> Counting:
        return self

    def list(self, kind: Kind, namespace: str | None) -> list[dict[str, Any]]:
        self.lists.append((kind, namespace))
        if namespace is None and not self.whole:
            raise Forbidden(f"may not list {kind.kind}", remedy="Ask.")
        names = [namespace] if namespace else NAMESPACES
        return [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": n}} for n in names
        ]


NAMESPACES = [f"team-{number}" for number in range(20)]
OF_TEAMS = [
    need for name in NAMESPACES for need in (Need(POD, name), Need(POD, within=(name,), optional=True))
]


def test_a_kind_is_listed_once_however_many_namespaces_ask_for_it() -> None:
    cluster = Counting()
    found = read(cast(Cluster, cluster), OF_TEAMS)
    assert [obj["metadata"]["namespace"] for obj in found.objects] == NAMESPACES
    assert cluster.lists == [(POD, None)]


def test_the_namespaces_are_read_where_the_whole_cluster_may_not_be() -> None:
    cluster = Counting(whole=False)
    found = read(cast(Cluster, cluster), OF_TEAMS)
    assert [obj["metadata"]["namespace"] for obj in found.objects] == NAMESPACES
    assert found.unread == (f"Pod outside {' and '.join(NAMESPACES)}",)


def test_a_need_of_the_whole_cluster_that_is_not_optional_raises_beside_one_that_is() -> None:
    with pytest.raises(Forbidden):
        read(CLUSTER, [Need(POD, within=("shop",), optional=True), Need(POD)])
