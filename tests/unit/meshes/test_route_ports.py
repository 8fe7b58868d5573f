"""Routes for several ports of one Service: each writes what holds for its own port."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Object, Snapshot
from meshkit.intent.balancing import LoadBalancing
from meshkit.intent.traffic import Route, Version
from meshkit.meshes.effective import Effective
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing.planned import after, steps_of
from tests.unit.meshes.meshed import service, sidecar

HOST = "api.shop.svc.cluster.local"
SHOP = Snapshot((service("api", 8080, 9090),))


def route(port: int, **fields: Any) -> Route:
    versions = (Version(name="v1"), Version(name="v2"))
    usual: dict[str, Any] = {"versions": versions, "split": {"v1": 100}}
    return Route(namespace="shop", service="api", port=port, **{**usual, **fields})


def planned(mesh: str, *routes: Route, over: Snapshot = SHOP) -> Snapshot:
    return after(over, steps_of(routes, over, MESHES[mesh].planner))


def owners(mesh: str, snapshot: Snapshot, port: int) -> set[str]:
    """The objects whose rules hold for a port, for a caller in the namespace; empty for none."""
    found = MESHES[mesh]
    seen = Snapshot((*snapshot.objects, sidecar(mesh)))
    effective = Effective(seen, mesh, found.meaning, found.control_plane.home)
    (caller,) = effective.callers
    hosts = effective.outbound(caller).hosts
    (host,) = (host for host in hosts if (host.service, host.port) == (HOST, port))
    return {route.owner for route in host.routes}


def objects(snapshot: Snapshot, kind: str) -> list[Object]:
    return list(snapshot.of(kind))


@pytest.mark.parametrize("mesh", list(MESHES))
def test_a_route_leaves_other_ports_as_they_were(mesh: str) -> None:
    found = planned(mesh, route(8080))
    assert owners(mesh, found, 8080) != {""}
    assert owners(mesh, found, 9090) == {""}


@pytest.mark.parametrize("mesh", list(MESHES))
@pytest.mark.parametrize("at_once", [True, False])
def test_routes_for_two_ports_hold_beside_each_other(mesh: str, at_once: bool) -> None:
    both = (route(8080), route(9090, split={"v2": 100}))
    found = planned(mesh, *both) if at_once else planned(mesh, both[1], over=planned(mesh, both[0]))
    assert owners(mesh, found, 8080) != {""}
    assert owners(mesh, found, 9090) != {""}
    for again in both:
        assert planned(mesh, again, over=found) == found


def test_policies_and_subsets_of_another_port_stay() -> None:
    first = route(
        9090, versions=(Version(name="old"),), split={"old": 100}, load_balancing=balancing("random")
    )
    second = route(8080, load_balancing=balancing("round_robin"))
    found = planned("istio", first, second)
    (rule,) = objects(found, "DestinationRule")
    assert {subset["name"] for subset in rule["spec"]["subsets"]} == {"v1", "v2", "old"}
    assert rule["spec"]["trafficPolicy"] == {
        "portLevelSettings": [
            {"port": {"number": 8080}, "loadBalancer": {"simple": "ROUND_ROBIN"}},
            {"port": {"number": 9090}, "loadBalancer": {"simple": "RANDOM"}},
        ]
    }


def balancing(algorithm: Any) -> LoadBalancing:
    return LoadBalancing(algorithm=algorithm)


def test_a_versions_service_keeps_the_ports_of_other_routes() -> None:
    found = planned("linkerd", route(8080), route(9090))
    ports = {
        obj["metadata"]["name"]: [port["port"] for port in obj["spec"]["ports"]]
        for obj in objects(found, "Service")
    }
    assert ports == {"api": [8080, 9090], "api-v1": [8080, 9090], "api-v2": [8080, 9090]}
