"""The weights that planners write are the ones a release finds, on every mesh."""

from __future__ import annotations

import pytest

from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import HeaderMatch, Route, Version
from meshkit.meshes.registry import MESHES
from meshkit.operations.release.route import Weights, route_object, weights_of

RELEASE = Release(name="web-v2", namespace="shop", service="web", port=8080, stable="v1", canary="v2")


EMPTY = Snapshot()


def planned(
    mesh: str,
    split: dict[str, float],
    versions: tuple[str, ...] = ("v1", "v2"),
    *,
    port: int = 8080,
    over: Snapshot = EMPTY,
) -> dict[str, object]:
    """The route object as this mesh's planner makes it, as a server would return it."""
    route = Route(
        namespace="shop",
        service="web",
        port=port,
        versions=tuple(Version(name=name) for name in versions),
        split=split,
        matches=(HeaderMatch(header="x-version", value="v2", version="v2"),),
    )
    where = route_object(mesh, RELEASE)
    for step in MESHES[mesh].planner.plan(route, over):
        obj = dict(step.object)
        if obj["kind"] == where.kind.kind and obj["metadata"]["name"] == where.name:
            obj["metadata"] = {**obj["metadata"], "resourceVersion": "7"}
            return obj
    raise AssertionError(f"{mesh} plans no {where}")


def found_on(mesh: str, obj: dict[str, object], release: Release = RELEASE) -> Weights:
    return weights_of(obj, route_object(mesh, release), release)


@pytest.mark.parametrize("mesh", list(MESHES))
def test_finds_the_weights_of_the_named_route(mesh: str) -> None:
    found = found_on(mesh, planned(mesh, {"v1": 99.5, "v2": 0.5}))
    assert (found.stable.weight, found.canary.weight) == (995, 5)
    assert found.canary_percent == 0.5


@pytest.mark.parametrize("mesh", list(MESHES))
def test_patch_tests_what_it_relies_on_and_writes_two_values(mesh: str) -> None:
    found = found_on(mesh, planned(mesh, {"v1": 100}))
    operations = found.patch(90, 10)
    assert [op["op"] for op in operations] == ["test", "test", "test", "add", "add"]
    assert operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert [op["value"] for op in operations[3:]] == [90, 10]
    assert all(op["path"].endswith("/weight") for op in operations[3:])


@pytest.mark.parametrize("mesh", list(MESHES))
def test_third_version_with_traffic_is_refused(mesh: str) -> None:
    obj = planned(mesh, {"v1": 90, "v3": 10}, ("v1", "v2", "v3"))
    with pytest.raises(BadInput, match="also sends requests to"):
        found_on(mesh, obj)


@pytest.mark.parametrize("mesh", list(MESHES))
def test_version_that_the_route_does_not_know_names_the_field(mesh: str) -> None:
    with pytest.raises(BadInput, match=r"release\.canary"):
        found_on(mesh, planned(mesh, {"v1": 100}), RELEASE.model_copy(update={"canary": "v9"}))


def test_a_rule_of_the_same_name_for_another_port_is_not_meant() -> None:
    both = planned("istio", {"v1": 100}, over=Snapshot((planned("istio", {"v2": 100}, port=9090),)))
    assert len(both["spec"]["http"]) == 4  # type: ignore[index]
    found = found_on("istio", both)
    assert (found.stable.weight, found.canary.weight) == (100, 0)


def test_unknown_mesh_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="Known: istio, linkerd"):
        route_object("consul", RELEASE)
