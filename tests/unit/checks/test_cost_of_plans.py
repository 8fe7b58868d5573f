"""Planning and checking twice as many Routes costs twice the calls, whatever shares a namespace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.checks.planned import preflight
from meshkit.facts import Object, Snapshot
from meshkit.intent.traffic import Route, Version
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing.planned import steps_of


def routes(count: int, in_a_namespace: int) -> list[Route]:
    versions = (Version(name="v1"), Version(name="v2"))
    return [
        Route(
            namespace=f"shop-{number // in_a_namespace}",
            service=f"web-{number}",
            port=8080,
            versions=versions,
            split={"v1": 90, "v2": 10},
        )
        for number in range(count)
    ]


def snapshot(wanted: list[Route]) -> Snapshot:
    """The Services and pods of the Routes."""
    objects: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in dict.fromkeys(route.namespace for route in wanted)
    ]
    for route in wanted:
        meta = {"name": route.service, "namespace": route.namespace}
        spec = {"selector": {"app": route.service}, "ports": [{"name": "http", "port": 8080}]}
        objects.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        for version in route.versions:
            labels = {"app": route.service, "version": version.name}
            meta = {"name": f"{route.service}-{version.name}", "namespace": route.namespace, "labels": labels}
            objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": []}})
    return Snapshot(objects)


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, a piece of work calls."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def calls_of(count: int, in_a_namespace: int, mesh: str) -> int:
    wanted = routes(count, in_a_namespace)
    seen, row = snapshot(wanted), MESHES[mesh]

    def plan() -> None:
        assert not [each for each in preflight.check(wanted, seen, mesh) if each.severity == "error"]
        assert len(steps_of(wanted, seen, row.planner)) >= count

    return calls(plan)


@pytest.mark.parametrize("mesh", list(MESHES))
@pytest.mark.parametrize("in_a_namespace", [20, 1_000])
def test_twice_the_routes_cost_twice_the_calls(mesh: str, in_a_namespace: int) -> None:
    calls_of(20, in_a_namespace, mesh)  # what is computed once is not counted
    assert calls_of(160, in_a_namespace, mesh) < 2.2 * calls_of(80, in_a_namespace, mesh)
