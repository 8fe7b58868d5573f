"""A release finds the live route by its host, whoever wrote it, and asks where several could be meant."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.release import Release
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing.releases import live_route, unmoved
from meshkit.operations.release.route import find_route, record_of, route_of, weights_of
from tests.unit.meshes.meshed import http_route, service, sidecar, virtual_service
from tests.unit.operations.explained import Api, cluster
from tests.unit.release.live_routes import FULL, backends, backing, release, subsets, to_hosts, to_subsets


def found(mesh: str, wanted: Release, *objects: Object) -> WeightedRoute:
    seen = Snapshot((service("web", 8080, 9090), sidecar(mesh), *objects))
    route = live_route(wanted, seen, MESHES[mesh])
    assert route_of(record_of(route)) == route
    return route


def weights(route: WeightedRoute, obj: dict[str, Any], wanted: Release) -> tuple[int, int]:
    obj["metadata"]["resourceVersion"] = "7"
    read = weights_of(obj, route, wanted)
    return read.stable.weight, read.canary.weight


def test_a_virtual_service_of_any_name_with_subsets() -> None:
    obj = virtual_service("web-vs", "web", [to_subsets("v1", "v2", name="anything")])
    route = found("istio", release(), obj, subsets(v1="v1", v2="v2"))
    assert str(route) == "VirtualService shop/web-vs"
    assert weights(route, obj, release()) == (100, 0)
    assert (route.services, route.labels) == ({}, {})


def test_subsets_with_names_of_their_own_are_known_by_the_label_of_their_pods() -> None:
    obj = virtual_service("reviews", FULL, [to_subsets("stable", "next")])
    route = found("istio", release(), obj, subsets(stable="v1", next="v2"))
    assert weights(route, obj, release()) == (100, 0)
    by_name = release(stable="stable", canary="next")
    assert found("istio", by_name, obj, subsets(stable="v1", next="v2")).labels == {
        "stable": "v1",
        "next": "v2",
    }


@pytest.mark.parametrize("host", ["Web", "*.shop.svc.cluster.local"])
def test_subsets_are_those_of_each_rule_that_is_for_the_service(host: str) -> None:
    obj = virtual_service("reviews", FULL, [to_subsets("stable", "next")])
    rule = subsets(stable="v1", next="v2")
    rule["spec"]["host"] = host
    by_name = release(stable="stable", canary="next")
    assert found("istio", by_name, obj, rule).labels == {"stable": "v1", "next": "v2"}


def test_weights_between_services_as_flagger_writes_them() -> None:
    obj = virtual_service("web", "web", [to_hosts("web-primary", "web-canary")])
    wanted = release(stable="primary", canary="canary")
    route = found("istio", wanted, obj, service("web-primary", 8080), service("web-canary", 8080))
    assert route.services == {"primary": "web-primary", "canary": "web-canary"}
    assert weights(route, obj, wanted) == (100, 0)


def test_weights_between_services_known_by_their_selectors() -> None:
    obj = virtual_service(
        "rollout", "web", [to_hosts("stable-svc", f"canary-svc.{FULL[4:]}", name="primary")]
    )
    route = found("istio", release(), obj, backing("stable-svc", "v1"), backing("canary-svc", "v2"))
    assert route.services == {"v1": "stable-svc", "v2": "canary-svc"}
    assert weights(route, obj, release()) == (100, 0)


def test_weights_in_a_delegate() -> None:
    root = virtual_service("root", "web", [{"delegate": {"name": "split", "namespace": "shop"}}])
    part = virtual_service("split", "", [to_subsets("v1", "v2")])
    part["spec"].pop("hosts")
    route = found("istio", release(), root, part, subsets(v1="v1", v2="v2"))
    assert str(route) == "VirtualService shop/split"
    assert weights(route, part, release()) == (100, 0)


@pytest.mark.parametrize("mesh", list(MESHES))
def test_an_http_route_of_any_name(mesh: str) -> None:
    obj = http_route("a-split", [backends("web-old", "web-next")])
    route = found(mesh, release(), obj, backing("web-old", "v1"), backing("web-next", "v2"))
    assert str(route) == "HTTPRoute shop/a-split"
    assert route.services == {"v1": "web-old", "v2": "web-next"}
    assert weights(route, obj, release()) == (100, 0)


@pytest.mark.parametrize("mesh", list(MESHES))
def test_the_http_route_of_a_named_route(mesh: str) -> None:
    """A Route with ``api: gateway`` and a name of its own, beside one of another name."""
    path = {"path": {"type": "PathPrefix", "value": "/beta"}}
    own = http_route("web-beta", [{**backends("web-v1", "web-v2"), "matches": [path]}])
    other = http_route("web-primary", [backends("web-v1", "web-v2")])
    versions = (backing("web-v1", "v1"), backing("web-v2", "v2"))
    route = found(mesh, release(route="beta"), own, other, *versions)
    assert str(route) == "HTTPRoute shop/web-beta"
    assert weights(route, own, release(route="beta")) == (100, 0)
    assert str(found(mesh, release(), own, other, *versions)) == "HTTPRoute shop/web-primary"


@pytest.mark.parametrize("mesh", list(MESHES))
def test_a_version_that_its_http_route_lacks_is_named(mesh: str) -> None:
    obj = http_route("web-primary", [backends("web-v1")])
    route = found(mesh, release(), obj, backing("web-v1", "v1"))
    with pytest.raises(BadInput, match=r"has no single route 'primary' with both v1 and v2") as refused:
        weights(route, obj, release())
    assert refused.value.field == "release.canary"


def test_the_rule_for_every_request_is_meant_and_found_again_by_its_conditions() -> None:
    some = to_subsets("v2", "v1", match=[{"headers": {"x-beta": {"exact": "yes"}}}])
    other_port = to_subsets("v2", "v1", match=[{"port": 9090}])
    obj = virtual_service("web-vs", "web", [some, other_port, to_subsets("v1", "v2")])
    route = found("istio", release(), obj, subsets(v1="v1", v2="v2"))
    assert weights(route, obj, release()) == (100, 0)
    obj["spec"]["http"].insert(0, to_subsets("v1", "v2", match=[{"uri": {"prefix": "/new"}}]))
    assert weights(route, obj, release()) == (100, 0)


def test_the_route_of_a_plan_comes_before_others_that_hold_beside_it() -> None:
    planned = http_route("web-primary", [backends("web-v1", "web-v2")])
    path = {"path": {"type": "PathPrefix", "value": "/new"}}
    beside = http_route("new", [backends("web-v1", "web-v2", matches=[path])])
    versions = (service("web-v1", 8080), service("web-v2", 8080))
    assert found("linkerd", release(), beside, planned, *versions).name == "web-primary"


def two() -> tuple[Object, ...]:
    ours = virtual_service("ours", "web", [to_subsets("v1", "v2", name="all")])
    theirs = virtual_service("theirs", FULL, [to_subsets("v1", "v2")], namespace="tests", exportTo=["."])
    theirs["spec"]["http"][0]["route"] = [
        {**each, "destination": {**each["destination"], "host": FULL}}
        for each in to_subsets("v1", "v2")["route"]
    ]
    return ours, theirs, subsets(v1="v1", v2="v2"), sidecar("istio", "tests")


def test_where_two_could_be_meant_it_asks() -> None:
    with pytest.raises(BadInput) as error:
        found("istio", release(), *two())
    assert "VirtualService/shop/ours/all, VirtualService/tests/theirs" in str(error.value)
    assert error.value.field == "release.route"


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("VirtualService/shop/ours", "ours"),
        ("VirtualService/shop/ours/all", "ours"),
        ("VirtualService/tests/theirs", "theirs"),
    ],
)
def test_a_release_may_name_the_object(named: str, name: str) -> None:
    assert found("istio", release(route=named), *two()).name == name


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("VirtualService/shop/web", "VirtualService shop/web does not rule the requests to web.shop:8080"),
        ("VirtualService/shop/ours/other", "VirtualService shop/ours has no rule other with both versions"),
    ],
)
def test_a_named_object_that_does_not_fit_is_refused(named: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        found("istio", release(route=named), *two())


@pytest.mark.parametrize("mesh", list(MESHES))
def test_rules_without_names_are_named_by_their_numbers(mesh: str) -> None:
    def below(path: str) -> dict[str, Any]:
        return {"path": {"type": "PathPrefix", "value": path}}

    rules = [
        backends("web", matches=[below("/old")]),
        *(backends("web-v1", "web-v2", matches=[below(path)]) for path in ("/a", "/b")),
    ]
    objects = (http_route("own", rules), service("web-v1", 8080), service("web-v2", 8080))
    with pytest.raises(BadInput) as asked:
        found(mesh, release(), *objects)
    assert "HTTPRoute/shop/own/1, HTTPRoute/shop/own/2." in str(asked.value)
    assert "route: HTTPRoute/shop/own/1" in asked.value.remedy
    with pytest.raises(BadInput, match="HTTPRoute/shop/own/1, HTTPRoute/shop/own/2"):
        found(mesh, release(route="HTTPRoute/shop/own"), *objects)
    assert found(mesh, release(route="HTTPRoute/shop/own/2"), *objects).conditions == [below("/b")]
    with pytest.raises(BadInput, match="has no rule 0 with both versions"):
        found(mesh, release(route="HTTPRoute/shop/own/0"), *objects)


def test_callers_that_follow_another_route_are_told() -> None:
    ours, theirs, *rest = two()
    wanted = release(route="VirtualService/shop/ours")
    seen = Snapshot((service("web", 8080), sidecar("istio"), ours, theirs, *rest))
    row = MESHES["istio"]
    (told,) = unmoved(wanted, live_route(wanted, seen, row), seen, row)
    assert told.startswith("VirtualService tests/theirs rules the requests of callers in tests; ")


def test_a_rival_without_the_versions_is_named_with_a_way_that_works() -> None:
    rival = virtual_service("web-defaults", FULL, [to_hosts(FULL)], namespace="defaults")
    ours = virtual_service("web", "web", [to_subsets("v1", "v2")], created="2026-02-01T00:00:00Z")
    with pytest.raises(BadInput, match="VirtualService defaults/web-defaults rules the requests") as error:
        found("istio", release(), rival, ours, subsets(v1="v1", v2="v2"))
    assert "Add both to VirtualService defaults/web-defaults" in error.value.remedy


@pytest.mark.parametrize("route", ["Primary", "VirtualService/web", "VirtualService//web", "a/b/c/d/e"])
def test_what_names_no_route_is_refused(route: str) -> None:
    with pytest.raises(BadInput, match=r"release\.route"):
        release(route=route)


def test_a_release_tells_what_its_account_may_not_read() -> None:
    wanted, row = release(), MESHES["istio"]
    objects = (service("web", 8080), virtual_service("web", "web", [to_subsets("v1", "v2")]))
    seen = Snapshot((*objects, subsets(v1="v1", v2="v2")), unread=("VirtualService outside shop",))
    (told,) = unmoved(wanted, live_route(wanted, seen, row), seen, row)
    assert (
        told == "This account may not read VirtualService outside shop: routes of others can be overlooked."
    )


def test_a_release_in_the_ambient_mode_is_refused_before_its_route_is_looked_for() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "labels": {"app": "web", "istio.io/dataplane-mode": "ambient"},
        },
        "spec": {"containers": [{"name": "web"}]},
    }
    held = [service("web", 8080), pod]
    with pytest.raises(BadInput, match="no waypoint serves the Service") as refused:
        find_route("istio", release(), cluster(Api(held)))
    assert refused.value.field == "release.service"
    assert "MK2110" in refused.value.remedy
