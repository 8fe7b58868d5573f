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
