"""What ``meshkit check`` finds about access rules on trial and about exceptions that end."""

from __future__ import annotations

import datetime as dt
from copy import deepcopy

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.security import Access, Caller
from meshkit.meshes import registry
from tests.unit.checks.meshes import HEALTHY, NOW, found, obj

MESHES = pytest.mark.parametrize("mesh", ["istio", "linkerd"])
ACCESS = Access(namespace="shop", service="web", callers=(Caller(namespace="shop", service_account="web"),))


def with_rule(mesh: str, rule: Access) -> list[str]:
    """The findings of a healthy mesh with a rule, less those that the mesh has without it."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "http"}]
    service = obj("v1", "Service", "web", "shop", spec={"selector": {"app": "web"}, "ports": ports})
    objects = [*deepcopy(HEALTHY[mesh]), service]
    steps = registry.mesh(mesh).planner.plan(rule, Snapshot(tuple(objects)))
    known = [*objects, *(dict(step.object) for step in steps)]
    return [each for each in found(mesh, known) if each.startswith("MK23")]


@MESHES
@pytest.mark.parametrize(
    ("days", "expected"),
    [(-1, ["MK2301 warning"]), (0, ["MK2302 info"]), (14, ["MK2302 info"]), (15, [])],
)
def test_the_end_of_an_exception_is_watched(mesh: str, days: int, expected: list[str]) -> None:
    until = (NOW.date() + dt.timedelta(days=days)).isoformat()
    assert with_rule(mesh, ACCESS.model_copy(update={"until": until})) == expected


@MESHES
def test_a_rule_on_trial_is_named_and_an_enforced_one_is_not(mesh: str) -> None:
    assert with_rule(mesh, ACCESS.model_copy(update={"mode": "shadow"})) == ["MK2303 info"]
    assert with_rule(mesh, ACCESS) == []
