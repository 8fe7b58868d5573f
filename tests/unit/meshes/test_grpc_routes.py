"""Rules for gRPC calls: what each mesh is given, what it makes of them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.rules import Match
from meshkit.meshes import registry
from meshkit.meshes.routing.releases import live_route
from tests.unit.meshes.routed import CARRIERS, V2, WORKLOADS, planned, route, stored, target, way

ADD = {"matches": [{"grpc": {"service": "shop.Cart", "method": "Add"}}], **V2}
CART = {"matches": [{"grpc": {"service": "shop.Cart"}}], "split": {"v1": 100}}
ANY_ADD = {"matches": [{"grpc": {"method": "Add"}}], **V2}
GATEWAY_API = tuple(each for each in CARRIERS if each != "istio")


def written(carrier: str, *rules: dict[str, Any], **more: Any) -> Object:
    (found,) = [step.object for step in planned(carrier, route(list(rules), **more)) if step.wait]
    return found


@pytest.mark.parametrize("carrier", CARRIERS)
def test_calls_go_where_the_rule_for_their_method_says(carrier: str, tmp_path: Path) -> None:
    asked = route([ADD, CART, ANY_ADD])
    calls = {
        "/shop.Cart/Add": "v2",
        "/shop.Cart/Remove": "v1",
        "/shop.Stock/Add": "v2",
        "/shop.Stock/Get": "v1",
    }
    for path, version in calls.items():
        assert target(way(carrier, tmp_path, asked, path, method="POST")) == version, path


@pytest.mark.parametrize("carrier", GATEWAY_API)
def test_gateway_api_has_a_kind_of_route_for_grpc(carrier: str) -> None:
    found = written(carrier, ADD, CART)
    assert (found["kind"], found["metadata"]["name"]) == ("GRPCRoute", "web-primary")
    assert [rule.get("matches") for rule in found["spec"]["rules"]] == [
        [{"method": {"type": "Exact", "service": "shop.Cart", "method": "Add"}}],
        [{"method": {"type": "Exact", "service": "shop.Cart"}}],
        None,
    ]


def test_a_virtual_service_asks_for_the_path_of_a_call() -> None:
    (found,) = [
        step.object
        for step in planned("istio", route([ADD, CART, ANY_ADD]))
        if step.kind.kind == "VirtualService"
    ]
    uris = [[match.get("uri") for match in rule["match"]] for rule in found["spec"]["http"]]
    assert uris == [
        [{"exact": "/shop.Cart/Add"}],
        [{"exact": "/shop.Cart"}, {"prefix": "/shop.Cart/"}],
        [{"regex": "/[^/]+/Add"}],
        [None],
    ]


def test_failed_calls_are_retried_by_their_status(tmp_path: Path) -> None:
    asked = route([ADD], retries={"attempts": 2, "grpc_statuses": ["unavailable", "resource-exhausted"]})
    for carrier in ("istio", "linkerd"):
        actions = way(carrier, tmp_path, asked, "/shop.Cart/Add").actions
        (retried,) = [each for each in actions if "retries" in each]
        assert "at most 2 retries" in retried
        assert "unavailable, resource-exhausted" in retried


def test_linkerd_has_a_time_for_all_calls_of_a_route(tmp_path: Path) -> None:
    found = way("linkerd", tmp_path, route([ADD], timeout_s=2.5), "/shop.Cart/Add")
    assert "timeout 2.5 s" in found.actions


@pytest.mark.parametrize(
    ("rules", "more", "field"),
    [
        ([ADD, {"matches": [{"path": {"exact": "/a"}}], **V2}], {}, "route.rules[1].matches[0].path"),
        ([ADD, {"matches": [{"method": "GET"}], **V2}], {}, "route.rules[1].matches[0].method"),
        ([ADD, {"matches": [{"query": {"a": {"exact": "b"}}}], **V2}], {}, "route.rules[1].matches[0].query"),
        ([{**ADD, "split": None, "redirect": {"path": "/a"}}], {}, "route.rules[0].redirect"),
        ([{**ADD, "rewrite": {"host": "a"}}], {}, "route.rules[0].rewrite"),
        ([{**ADD, "timeout_s": 1}], {}, "route.rules[0].timeout_s"),
    ],
)
@pytest.mark.parametrize("carrier", GATEWAY_API)
def test_what_a_route_of_grpc_lacks_is_refused(
    carrier: str, rules: list[dict[str, Any]], more: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        planned(carrier, route(rules, **more))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("carrier", "more", "field"),
    [
        ("istio gateway", {"timeout_s": 1}, "route.timeout_s"),
        ("istio gateway", {"retries": {"attempts": 1, "grpc_statuses": ["cancelled"]}}, "route.retries"),
        ("linkerd", {"retries": {"attempts": 1}}, "route.retries.grpc_statuses"),
        ("linkerd", {"retries": {"attempts": 1, "on": "5xx"}}, "route.retries.on"),
        ("linkerd", {"retries": {"attempts": 1, "statuses": [429]}}, "route.retries.statuses"),
    ],
)
def test_what_a_mesh_lacks_for_calls_is_refused(carrier: str, more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        planned(carrier, route([ADD], **more))
    assert refused.value.field == field


@pytest.mark.parametrize("carrier", GATEWAY_API)
def test_rules_whose_order_would_not_be_kept_are_refused(carrier: str) -> None:
    with pytest.raises(BadInput, match=r"route\.rules\[1\] would take requests of route\.rules\[0\]"):
        planned(carrier, route([CART, ADD]))
    other = {"matches": [{"grpc": {"service": "shop.Stock", "method": "Get"}}], **V2}
    assert planned(carrier, route([CART, other])), "no call is of both services"


def test_a_port_of_http_alone_takes_no_grpc_route_on_linkerd() -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080, "appProtocol": "http"}]}
    meta = {"name": "web", "namespace": "shop"}
    web = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    planner = registry.mesh("linkerd").planner
    with pytest.raises(BadInput, match="reads no GRPCRoute"):
        planner.plan(route([ADD]), Snapshot((web,)))
    assert planner.plan(route([]), Snapshot((web,)))


def made(carrier: str, asked: Any) -> Snapshot:
    """The objects after a Route was applied, those of routes made by meshkit."""
    before = Snapshot(WORKLOADS)
    mesh, _, api = carrier.partition(" ")
    wanted = asked.model_copy(update={"api": api}) if api else asked
    after = stored(before, registry.mesh(mesh).planner.plan(wanted, before))
    for each in after.of("HTTPRoute"):
        each["metadata"]["managedFields"] = [{"manager": "meshkit"}]
    return after


@pytest.mark.parametrize("carrier", GATEWAY_API)
def test_a_route_that_becomes_one_of_grpc_leaves_no_other_behind(carrier: str) -> None:
    mesh, _, api = carrier.partition(" ")
    seen = made(carrier, route([]))
    asked = route([ADD], api=api or "auto")
    *_, step, last = registry.mesh(mesh).planner.plan(asked, seen)
    assert (step.title, step.settle_s) == ("GRPCRoute shop/web-primary", 1.0)
    assert (last.title, last.removed) == ("HTTPRoute shop/web-primary", True)


@pytest.mark.parametrize("carrier", GATEWAY_API)
def test_a_route_without_grpc_is_refused_beside_its_grpc_route(carrier: str) -> None:
    mesh, _, api = carrier.partition(" ")
    seen = made(carrier, route([ADD]))
    with pytest.raises(BadInput, match="GRPCRoute shop/web-primary carries the route primary") as refused:
        registry.mesh(mesh).planner.plan(route([], api=api or "auto"), seen)
    assert refused.value.field == "route.rules"


def test_istio_keeps_a_route_at_the_grpc_route_that_carries_it() -> None:
    seen = made("istio gateway", route([ADD]))
    steps = registry.mesh("istio").planner.plan(route([ADD, CART]), seen)
    assert steps[-1].title == "GRPCRoute shop/web-primary"


@pytest.mark.parametrize("carrier", GATEWAY_API)
def test_a_release_shifts_the_calls_of_a_route(carrier: str) -> None:
    seen = made(carrier, route([ADD], split={"v1": 100, "v2": 0}))
    release = Release(
        name="web", namespace="shop", service="web", port=8080, stable="v1", canary="v2", steps=[50, 100]
    )
    found = live_route(release, seen, registry.mesh(carrier.partition(" ")[0]))
    assert str(found) == "GRPCRoute shop/web-primary"
    assert not found.conditions


def test_a_call_has_no_path_of_its_own() -> None:
    with pytest.raises(ValueError, match="grpc says which calls match"):
        Match.model_validate({"grpc": {"service": "a.B"}, "path": {"exact": "/a"}})
    with pytest.raises(ValueError, match="at least one of service and method"):
        Match.model_validate({"grpc": {}})
    with pytest.raises(ValueError, match="pattern"):
        Match.model_validate({"grpc": {"service": "a/B"}})
