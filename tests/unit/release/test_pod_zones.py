"""The zones of a release's pods, as its windows get them."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.decide.pods import Placement
from meshkit.errors import Rejected
from meshkit.facts import ArmCounts, Kind, Samples
from meshkit.operations.release.running.pod_zones import PodZones
from meshkit.operations.rights.roles import role_objects
from tests.unit.release.stage import Stage

NODES = {"n1": "a", "n2": "b"}


def zones_of(stage: Stage, **pods: str) -> PodZones:
    """The pods of a stage: their version by name, and the node on which each runs."""
    objects = stage.fake.api.objects
    for node, zone in NODES.items():
        labels = {"topology.kubernetes.io/zone": zone}
        objects["Node", "", node] = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node, "labels": labels},
        }
    for pod, node in pods.items():
        objects["Pod", "shop", pod] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod, "namespace": "shop", "labels": {"version": pod[:2]}},
            "spec": {"nodeName": node},
            "status": {"phase": "Running"},
        }
    return PodZones(stage.cluster, stage.release, stage.plan().route)


def samples(*pods: str) -> Samples:
    counted = {version: {p: ArmCounts(1) for p in pods if p.startswith(version)} for version in ("v1", "v2")}
    return Samples(0, 5, {"v1": ArmCounts(1), "v2": ArmCounts(1)}, counted)


def test_pods_are_in_the_zones_of_their_nodes() -> None:
    zones = zones_of(Stage(), v1x="n1", v1y="n2", v2x="n2")
    assert zones.of(samples("v1x", "v1y", "v2x", "v1gone")).zones == {"v1x": "a", "v1y": "b", "v2x": "b"}
    assert zones.placement() == Placement({"a": 1, "b": 1}, {"b": 1})


def test_the_cluster_is_asked_about_new_pods_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    zones, api, asked = zones_of(stage, v1x="n1", v2x="n2"), stage.fake.api, []
    listing = api.list

    def counted(kind: Kind, *where: Any, **selected: Any) -> list[dict[str, Any]]:
        asked.append(kind.kind)
        return listing(kind, *where, **selected)

    monkeypatch.setattr(api, "list", counted)
    for _ in range(3):
        zones.of(samples("v1x", "v2x", "v1gone"))
    assert asked == ["Pod", "Pod", "Node"]


def test_the_right_to_list_nodes_is_enough_and_the_role_for_releases_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    zones, api = zones_of(stage, v1x="n1", v2x="n2"), stage.fake.api
    getting = api.get

    def denied(kind: Kind, *name: Any, **where: Any) -> dict[str, Any] | None:
        if kind.kind == "Node":
            raise Rejected("nodes are forbidden", remedy="", status=403)
        return getting(kind, *name, **where)

    monkeypatch.setattr(api, "get", denied)
    assert zones.of(samples("v1x", "v2x")).zones == {"v1x": "a", "v2x": "b"}
    rules = [rule for role in role_objects("release", "istio") for rule in role.get("rules") or ()]
    assert any("nodes" in rule["resources"] and "list" in rule["verbs"] for rule in rules)


def test_nodes_that_may_not_be_read_leave_zones_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    zones, api = zones_of(stage, v1x="n1", v2x="n2"), stage.fake.api
    listing = api.list

    def denied(kind: Kind, *where: Any, **selected: Any) -> list[dict[str, Any]]:
        if kind.kind == "Node":
            raise Rejected("nodes are forbidden", remedy="", status=403)
        return listing(kind, *where, **selected)

    monkeypatch.setattr(api, "list", denied)
    assert zones.of(samples("v1x", "v2x")).zones == {}
    assert zones.placement() == Placement({"": 1}, {"": 1})
