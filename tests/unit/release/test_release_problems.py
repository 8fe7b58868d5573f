"""Why a release could not be shifted or measured, found before its start."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Finding, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing.release_problems import problems
from meshkit.meshes.routing.releases import live_route
from tests.unit.meshes.destination_rules import FULL, POOL, SAME, rule, subsets
from tests.unit.meshes.meshed import service, sidecar, virtual_service

ROW = MESHES["istio"]
HASH = "rollouts-pod-template-hash"
ROLLOUT = subsets(stable={HASH: "abc"}, canary={HASH: "def"})


def release(stable: str = "v1", canary: str = "v2") -> Release:
    return Release(name="web-v2", namespace="shop", service="web", port=8080, stable=stable, canary=canary)


def split(*names: str, **more: Any) -> dict[str, Any]:
    to = [
        {"destination": {"host": FULL, "subset": name}, "weight": 100 * (not i)}
        for i, name in enumerate(names)
    ]
    return virtual_service("web-split", FULL, [{"route": to}], **more)


def pod(name: str, **labels: str) -> dict[str, Any]:
    made = sidecar("istio", "shop", app="web", **labels)
    made["metadata"]["name"] = name
    return made


def found(
    wanted: Release, *objects: Object, callers: tuple[str, ...] = ("shop",)
) -> tuple[WeightedRoute, list[Finding]]:
    pods = [sidecar("istio", namespace) for namespace in callers]
    seen = Snapshot((service("web", 8080), *pods, *objects))
    route = live_route(wanted, seen, ROW)
    return route, list(problems(wanted, route, seen, ROW))


def test_subsets_by_version_have_no_problem() -> None:
    route, told = found(release(), split("v1", "v2"), rule("web", subsets=SAME))
    assert (route.labels, told) == ({}, [])


def test_subsets_of_argo_rollouts_are_measured_by_the_version_label_of_their_pods() -> None:
    pods = (
        pod("web-1", version="r1", **{HASH: "abc"}),
        pod("web-2", version="r2", **{HASH: "def"}),
    )
    wanted = release("stable", "canary")
    route, told = found(wanted, split("stable", "canary"), rule("web-rollout", subsets=ROLLOUT), *pods)
    assert (route.labels, told) == ({"stable": "r1", "canary": "r2"}, [])
    again, _ = found(
        release("r1", "r2"), split("stable", "canary"), rule("web-rollout", subsets=ROLLOUT), *pods
    )
    assert (again.stable, again.canary, again.labels) == ("stable", "canary", {})


@pytest.mark.parametrize(
    ("versions", "why"),
    [
        (({}, {}), "they have no label version"),
        (({"version": "1.0"}, {"version": "1.0"}), "they have the same label version=1.0"),
    ],
    ids=["no label", "the same label"],
)
def test_subsets_whose_pods_metrics_do_not_tell_apart_are_refused(
    versions: tuple[dict[str, str], dict[str, str]], why: str
) -> None:
    pods = (pod("web-1", **{HASH: "abc"}, **versions[0]), pod("web-2", **{HASH: "def"}, **versions[1]))
    wanted = release("stable", "canary")
    _, (told,) = found(wanted, split("stable", "canary"), rule("web-rollout", subsets=ROLLOUT), *pods)
    assert (told.severity, told.object) == ("error", "release.stable")
    assert why in told.message
    assert "stable (rollouts-pod-template-hash=abc)" in told.message
    assert "label version" in told.remedy


def test_subsets_without_pods_are_refused() -> None:
    wanted = release("stable", "canary")
    _, (told,) = found(wanted, split("stable", "canary"), rule("web-rollout", subsets=ROLLOUT))
    assert told.severity == "error"
    assert "there are none of one of them" in told.message


def test_a_rule_of_the_callers_namespace_without_the_canary_is_refused() -> None:
    mine = rule("mine", namespace="tests", subsets=SAME[:1], trafficPolicy=POOL)
    _, (told,) = found(
        release(), split("v1", "v2"), rule("web", subsets=SAME), mine, callers=("shop", "tests")
    )
    assert (told.severity, told.object) == ("error", "release.route")
    assert told.message == (
        "DestinationRule tests/mine decides how callers in tests reach web.shop:8080, and it has no subset"
        " v2: their requests would fail with status 503."
    )
    assert told.remedy == "Add v2 to its spec.subsets, with the labels of the pods."


def test_callers_that_the_release_does_not_shift_need_no_subsets() -> None:
    theirs = virtual_service(
        "theirs", FULL, [{"route": [{"destination": {"host": FULL}}]}], namespace="tests", exportTo=["."]
    )
    mine = rule("mine", namespace="tests", trafficPolicy=POOL)
    _, told = found(
        release(), split("v1", "v2"), rule("web", subsets=SAME), mine, theirs, callers=("shop", "tests")
    )
    assert told == []


def test_the_policy_of_the_services_own_rule_that_another_displaces_is_told() -> None:
    own = rule("web", subsets=SAME, trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 7}}})
    own["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    _, (told,) = found(release(), split("v1", "v2"), own, rule("web-team", trafficPolicy=POOL))
    assert (told.severity, told.object) == ("warning", "DestinationRule shop/web")
    assert told.message == (
        "DestinationRule shop/web-team decides how callers in shop reach web.shop:8080: connection_limits of"
        " DestinationRule shop/web have no effect."
    )


def node(name: str, zone: str = "", kind: str = "") -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": zone, "node.kubernetes.io/instance-type": kind}
    given = {label: value for label, value in labels.items() if value}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": given}}


NODES = (node("n1", "a", "small"), node("n2", "b", "small"), node("n3", "c", "large"), node("n4"))


def placed(stable: str, canary: str) -> list[dict[str, Any]]:
    """Pods of v1 and v2 on the nodes with these numbers."""
    pods = []
    for version, places in (("v1", stable), ("v2", canary)):
        for i, place in enumerate(places):
            made = pod(f"web-{version}-{i}", version=version)
            made["spec"] = {**made["spec"], "nodeName": f"n{place}"}
            pods.append(made)
    return pods


@pytest.mark.parametrize(
    ("stable", "canary", "places"),
    [
        ("12", "12", []),
        ("12", "13", []),
        ("111", "2", ["zones"]),
        ("123", "1", ["zones"]),
        ("12", "33", ["zones", "kinds of nodes"]),
        ("12222222", "11", ["zones"]),
        ("12", "44", []),
        ("12", "", []),
    ],
)
def test_a_canary_that_stands_elsewhere_is_told(stable: str, canary: str, places: list[str]) -> None:
    _, told = found(release(), split("v1", "v2"), rule("web", subsets=SAME), *NODES, *placed(stable, canary))
    assert [each.code for each in told] == ["MK1608"] * len(places)
    assert all(
        f"in other {place} than v1's" in each.message for place, each in zip(places, told, strict=True)
    )


def test_where_a_canary_stands_is_said_by_numbers() -> None:
    _, (told,) = found(release(), split("v1", "v2"), rule("web", subsets=SAME), *NODES, *placed("111", "2"))
    assert (told.severity, told.object) == ("warning", "Release shop/web-v2")
    assert "v2 in b (1), v1 in a (3)" in told.message
