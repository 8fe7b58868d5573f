"""Faults are injected in a sandbox only, and only into existing objects."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput
from meshkit.kube.nodes import POWERED_OFF
from meshkit.operations.chaos import Chaos


class Api:
    """Nodes of one runtime, and what was patched."""

    def __init__(self, runtime: str) -> None:
        self.runtime, self.patched = runtime, list[tuple[str, Any]]()

    def list(self, kind: Any, namespace: str | None = None) -> list[Any]:
        if kind.kind != "Node":
            return []
        info = {"nodeInfo": {"containerRuntimeVersion": self.runtime}}
        zone = "topology.kubernetes.io/zone"
        named = (("n1", "z1"), ("n2", "z1"), ("n3", "z2"))
        return [{"metadata": {"name": name, "labels": {zone: z}}, "status": info} for name, z in named]

    def get(self, *which: Any) -> None:
        return None

    def merge_patch(self, kind: Any, name: str, namespace: None, patch: Any) -> None:
        self.patched.append((name, patch["metadata"]["annotations"]))


def cluster(runtime: str = "meshkit://1") -> tuple[Cluster, Api]:
    api = Api(runtime)
    return cast(Cluster, type("C", (), {"api": api, "context": "prod"})()), api


def test_any_other_cluster_is_refused() -> None:
    with pytest.raises(BadInput, match="prod cannot be switched off: it is not a sandbox"):
        Chaos(cluster("containerd://2.1")[0])


def test_a_zone_is_all_its_nodes() -> None:
    where, api = cluster()
    assert Chaos(where).kill_zone("z1") == ["n1", "n2"]
    assert api.patched == [("n1", {POWERED_OFF: "true"}), ("n2", {POWERED_OFF: "true"})]


def test_what_is_not_there_is_named_with_what_is() -> None:
    chaos = Chaos(cluster()[0])
    with pytest.raises(BadInput, match="'n9' does not exist") as node:
        chaos.kill_node("n9")
    assert "n1, n2, n3" in str(node.value.remedy)
    with pytest.raises(BadInput, match="'z9' does not exist") as zone:
        chaos.kill_zone("z9")
    assert "z1, z2" in str(zone.value.remedy)
    with pytest.raises(BadInput, match="shop/gone does not exist"):
        chaos.kill_pod("shop", "gone")
    with pytest.raises(BadInput, match="shop/stock has no running pod"):
        chaos.slow("shop", "stock", latency_ms=300)
