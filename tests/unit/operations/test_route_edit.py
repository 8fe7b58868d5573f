"""A Route is changed only where it is meshkit's own, whole, and no release moves its weights."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput, Conflict
from meshkit.facts import Snapshot
from meshkit.intent.traffic import Route, Version
from meshkit.meshes import registry
from meshkit.operations.routes.edit import plan_split
from tests.unit.operations.explained import WORKLOADS, Api, cluster, objects

SHARES = {"v1": 90.0, "v2": 10.0}


def held(*managers: str, ports: tuple[int, ...] = (8080,), mesh: str = "istio") -> list[dict[str, Any]]:
    """The shop with Routes of these ports, whose objects have fields of these managers."""
    there = objects(mesh, WORKLOADS)
    planner = registry.mesh(mesh).planner
    for port in ports:
        route = Route(
            namespace="shop",
            service="web",
            port=port,
            versions=(Version(name="v1"), Version(name="v2")),
            split={"v1": 100},
            name=f"to-{port}",
        )
        made = [dict(step.object) for step in planner.plan(route, Snapshot(tuple(there)))]
        names = {(each["kind"], each["metadata"]["name"]) for each in made}
        there = [each for each in there if (each["kind"], each["metadata"]["name"]) not in names] + made
    owned = [{"manager": name, "fieldsV1": {"f:spec": {"f:http": {}, "f:rules": {}}}} for name in managers]
    for each in there:
        each["metadata"] = {**each["metadata"], "managedFields": owned}
    return there


def refused(there: list[dict[str, Any]], mesh: str = "istio", **given: Any) -> BadInput | Conflict:
    with pytest.raises((BadInput, Conflict)) as error:
        plan_split("shop/web", SHARES, cluster(Api(there), mesh), **given)
    assert isinstance(error.value, BadInput | Conflict)
    return error.value


@pytest.mark.parametrize("name", ["web", "shop/", "/web", "shop/web/8080"])
def test_a_service_is_named_by_namespace_and_name(name: str) -> None:
    with pytest.raises(BadInput, match="NAMESPACE/NAME"):
        plan_split(name, SHARES, cluster(Api([]), "istio"))


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_what_is_not_managed_by_meshkit_stays(mesh: str) -> None:
    error = refused(held("argocd", mesh=mesh), mesh)
    assert str(error).startswith("service: ")
    assert "is managed by argocd" in str(error)
    assert "run a release" in error.remedy


def test_the_weights_of_a_running_release_stay() -> None:
    error = refused(held("meshkit", "meshkit-release"))
    assert "a release manages the weights of VirtualService shop/web" in str(error)
    assert "meshkit release rollback" in error.remedy


def test_a_service_without_a_route_says_what_to_do() -> None:
    error = refused(objects("istio", WORKLOADS))
    assert "no Route of meshkit is for Service shop/web" in str(error)
    assert "-f" in error.remedy
    error = refused([each for each in held("meshkit") if each["kind"] != "Service"])
    assert "there is no Service shop/web" in str(error)


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_a_port_is_named_where_routes_are_for_several(mesh: str) -> None:
    error = refused(held("meshkit", ports=(8080, 9090), mesh=mesh), mesh)
    assert "are for ports 8080 and 9090" in str(error)
    assert "--port" in error.remedy
    error = refused(held("meshkit", mesh=mesh), mesh, port=9090)
    assert "no Route of meshkit is for port 9090 of Service shop/web" in str(error)


def test_a_route_that_cannot_be_read_back_is_changed_in_its_file() -> None:
    there = held("meshkit")
    (route,) = [each for each in there if each["kind"] == "VirtualService"]
    route["spec"]["http"][0]["route"][0]["destination"].pop("subset")
    error = refused(there)
    assert "VirtualService shop/web: no Route writes this" in str(error)
    assert "-f" in error.remedy
