"""What meshkit writes for Linkerd, with Linkerd's definitions, on a cluster where none of its programs runs.

These are on no registry that is used here. So the tests show that a real API server takes what meshkit plans,
that it is there as planned, and that an undo leaves nothing of it; not what a proxy makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.facts import Kind
from meshkit.kube.steps import RESTART_MANAGER, Step
from meshkit.meshes.registry import MESHES
from meshkit.operations import change
from meshkit.operations.plan import Plan
from meshkit.operations.undo import undo
from tests.conformance.definitions import DEFINITION, serve
from tests.conformance.golden import steps_of, whole
from tests.unit.meshes.golden_cases import CASES, SHOP

NAMESPACE = Kind("v1", "Namespace")
NAMESPACES = ("shop", "tests", "linkerd")
INSTALLATIONS = ("control-plane", "control-plane-charts")
"""Manifests, which only the sandbox takes, and charts, which cannot be had."""
GONE_S = 60.0
GOLDEN = [case for case, (meshes, _) in CASES.items() if "linkerd" in meshes and case not in INSTALLATIONS]


@pytest.fixture(scope="module")
def linked(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with Linkerd's definitions and what the golden plans start from; neither stays."""
    definitions = MESHES["linkerd"].crds()
    serve(cluster.api, definitions)
    for name in NAMESPACES:
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for obj in SHOP.objects:
        if obj["kind"] in ("Service", "Deployment"):
            cluster.api.apply(whole(obj))
    yield cluster
    places = [(NAMESPACE, name) for name in NAMESPACES]
    places += [(DEFINITION, definition["metadata"]["name"]) for definition in definitions]
    for kind, name in places:
        cluster.api.delete(kind, name)
    for kind, name in places:
        cluster.api.wait(kind, name, None, lambda found: found is None, GONE_S, "gone")


@pytest.mark.parametrize("case", GOLDEN)
def test_linkerds_objects_are_applied_found_and_undone(linked: Cluster, case: str) -> None:
    steps = golden_steps(case)
    wanted = {step.title: step for step in steps}
    plan = planned(linked, steps)
    before = found(linked, plan)
    made = change.apply(plan, linked)
    after = found(linked, plan)
    assert after
    assert all(holds(after[title], wanted[title].object) for title in after), after
    assert planned(linked, wanted.values()).empty
    undo(made.id, linked)
    assert found(linked, plan) == before


def golden_steps(case: str) -> list[Step]:
    """The steps of a golden plan. Nobody is there to accept a route, so none is waited for."""
    return [
        replace(step, wait=None) if step.wait and step.wait.condition == "accepted" else step
        for step in steps_of("linkerd", case)
    ]


def planned(cluster: Cluster, steps: Iterable[Step]) -> Plan:
    """The plan of these steps on this cluster."""
    return change.plan_steps(list(steps), cluster, Operation("apply", "linkerd"), what="Linkerd's objects")


def found(cluster: Cluster, plan: Plan) -> dict[str, Any]:
    """What there is of each object of a plan; a restart, which is undone by another one, changes none."""
    steps = [each.step for each in plan.steps if each.step.manager != RESTART_MANAGER]
    return {step.title: written(cluster.api.get(step.kind, step.name, step.namespace)) for step in steps}


def written(obj: dict[str, Any] | None) -> dict[str, Any] | None:
    """An object without what the API server adds to its metadata."""
    if obj is None:
        return None
    kept = ("name", "namespace", "labels", "annotations")
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key in kept}}


def holds(whole: Any, part: Any) -> bool:
    """Whether an object has every field of another one, with the same value."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and holds(whole[key], value) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)
