"""Routes that Istio carries out by an HTTPRoute: what is written, and when it is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.steps import Step
from meshkit.meshes.istio.planner import PLANNER
from meshkit.meshes.istio.traffic.routes import SETTLE_S
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing import rivals
from tests.unit.meshes.meshed import http_route, service, sidecar, virtual_service
from tests.unit.meshes.routed import CARRIERS, MATCH, V2, WORKLOADS, planned, route, target, way

GATEWAY = CARRIERS[-1]
WEB = (service("web", 8080, 9090),)
TO_V1 = [{"backendRefs": [{"group": "", "kind": "Service", "name": "web-v1", "port": 8080}]}]


def over(asked: Route, *objects: Object) -> tuple[Step, ...]:
    return PLANNER.plan(asked, Snapshot((*WEB, *objects)))


def kinds(steps: tuple[Step, ...]) -> list[str]:
    return [step.object["kind"] for step in steps]


def http_rules(asked: Route) -> list[dict[str, Any]]:
    (found,) = [step.object for step in planned(GATEWAY, asked) if step.kind.kind == "HTTPRoute"]
    rules: list[dict[str, Any]] = found["spec"]["rules"]
    return rules


def test_each_version_is_a_service_that_proxies_learn_of_before_the_rules() -> None:
    steps = planned(GATEWAY, route([], split={"v1": 90, "v2": 10}))
    assert [step.title for step in steps] == [
        "Service shop/web-v1",
        "Service shop/web-v2",
        "HTTPRoute shop/web-primary",
    ]
    assert [step.settle_s for step in steps] == [0, SETTLE_S, 0]
    assert steps[1].object["spec"] == {
        "selector": {"app": "web", "version": "v2"},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    (rule,) = steps[2].object["spec"]["rules"]
    assert [(ref["name"], ref["weight"]) for ref in rule["backendRefs"]] == [("web-v1", 90), ("web-v2", 10)]
    assert steps[2].wait is not None
    assert steps[2].wait.condition == "accepted"


def test_the_policies_of_a_route_hold_for_each_version(tmp_path: Path) -> None:
    asked = route([], split={"v1": 50, "v2": 50}, connection_limits={"max_connections": 5})
    found = way(GATEWAY, tmp_path, asked, "/").destinations
    assert len(found) == 2
    for each in found:
        assert "limits.max_connections 5" in each.settings


def test_the_policies_of_another_port_stay_and_a_dropped_one_goes() -> None:
    first = over(route([], api="gateway", port=9090, connection_limits={"max_connections": 1}))
    made = [
        {**s.object, "metadata": {**s.object["metadata"], "managedFields": [{"manager": "meshkit"}]}}
        for s in first
    ]
    both = over(route([], api="gateway", connection_limits={"max_connections": 2}), *made)
    (rule, _) = [step.object for step in both if step.kind.kind == "DestinationRule"]
    settings = rule["spec"]["trafficPolicy"]["portLevelSettings"]
    assert [(s["port"]["number"], s["connectionPool"]["tcp"]["maxConnections"]) for s in settings] == [
        (8080, 2),
        (9090, 1),
    ]
    without = over(route([], api="gateway", port=9090), *made)
    (rule, _) = [step.object for step in without if step.kind.kind == "DestinationRule"]
    assert rule["spec"] == {"host": "web-v1"}


def test_a_share_of_the_requests_is_mirrored() -> None:
    rules = [
        {**MATCH, **V2, "mirror": {"version": "v1", "percent": percent}} for percent in (100, 5, 0.5)
    ] + [{**MATCH, **V2, "mirror": {"service": "other", "port": 9090}}]
    filters = [rule["filters"] for rule in http_rules(route(rules))[:-1]]
    to_v1 = {"group": "", "kind": "Service", "name": "web-v1", "port": 8080}
    assert [each[0]["requestMirror"] for each in filters] == [
        {"backendRef": to_v1},
        {"backendRef": to_v1, "percent": 5},
        {"backendRef": to_v1, "fraction": {"numerator": 1, "denominator": 200}},
        {"backendRef": {**to_v1, "name": "other", "port": 9090}},
    ]


def test_rewrites_and_mirrors_are_carried_out(tmp_path: Path) -> None:
    rules = [
        {
            "matches": [{"path": {"prefix": "/api"}}],
            **V2,
            "rewrite": {"prefix": "/v2", "host": "web.internal"},
            "mirror": {"version": "v1", "percent": 10},
        }
    ]
    found = way(GATEWAY, tmp_path, route(rules), "/api/users")
    assert target(found) == "v2"
    actions = "; ".join(found.actions)
    for part in ("web.internal", "/v2", "10 %", "web-v1"):
        assert part in actions, (part, actions)


def test_a_prefix_is_replaced_in_a_rule_for_each_match() -> None:
    """Gateway API takes one match in a rule that replaces a prefix."""
    matches = [
        {"path": {"prefix": "/api"}, "method": "GET"},
        {"path": {"prefix": "/api"}, "method": "PUT"},
    ]
    rules = http_rules(route([{"matches": matches, **V2, "rewrite": {"prefix": "/v2"}}]))
    assert [[match["method"] for match in rule["matches"]] for rule in rules[:2]] == [["GET"], ["PUT"]]
    assert rules[0]["filters"] == rules[1]["filters"]


def test_a_service_of_another_namespace_is_a_destination() -> None:
    other = {"service": "legacy", "port": 80, "namespace": "old"}
    (ref,) = http_rules(route([{**MATCH, "services": [other]}]))[0]["backendRefs"]
    assert (ref["namespace"], ref["name"], ref["port"]) == ("old", "legacy", 80)


def test_a_percent_sign_of_a_header_is_no_variable_of_envoy() -> None:
    edits = {"set": {"x-share": "100%"}}
    (only,) = http_rules(route([{**V2, "request_headers": edits}]))[0]["filters"]
    assert only["requestHeaderModifier"]["set"] == [{"name": "x-share", "value": "100%%"}]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({**MATCH, "respond": {"status": 410}}, "respond"),
        ({**MATCH, **V2, "fault": {"delay_s": 1}}, "fault"),
        ({**MATCH, **V2, "retries": {"attempts": 1}}, "retries"),
        ({**MATCH, **V2, "cors": {"origins": ["*"]}}, "cors"),
        ({"matches": [{"path": {"regex": "/v[0-9]"}}], **V2}, "matches[0].path.regex"),
        ({"matches": [{"source_labels": {"a": "b"}}], **V2}, "matches[0].source_labels"),
        ({"matches": [{"source_namespace": "b"}], **V2}, "matches[0].source_namespace"),
        ({"matches": [{"headers": {"a": {"prefix": "b"}}}], **V2}, "matches[0].headers.a.prefix"),
        ({"matches": [{"headers": {"a": {"present": False}}}], **V2}, "matches[0].headers.a.present"),
        ({"matches": [{"query": {"a": {"prefix": "b"}}}], **V2}, "matches[0].query.a.prefix"),
        ({"matches": [{"query": {"a": {"present": False}}}], **V2}, "matches[0].query.a.present"),
    ],
)
def test_what_an_http_route_cannot_do_is_refused_with_what_can(rule: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match="An HTTPRoute cannot do this") as refused:
        planned(GATEWAY, route([rule]))
    assert refused.value.field == f"route.rules[0].{field}"


@pytest.mark.parametrize("field", [{"retries": {"attempts": 1}}, {"fault": {"abort_status": 503}}])
def test_what_an_http_route_cannot_do_for_the_whole_route_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="api: mesh"):
        planned(GATEWAY, route([], **field))


@pytest.mark.parametrize("api", ["mesh", "gateway"])
def test_gateway_api_is_the_api_of_linkerd(api: str) -> None:
    assert planned(f"linkerd {api}", route([])) == planned("linkerd", route([]))


def test_a_port_of_plain_tcp_is_refused() -> None:
    tcp = service("web", 8080)
    tcp["spec"]["ports"][0] |= {"name": "tcp", "appProtocol": "tcp"}
    with pytest.raises(BadInput, match="plain TCP"):
        PLANNER.plan(route([], api="gateway"), Snapshot((tcp,)))


def test_a_route_is_a_virtual_service_where_nothing_stands() -> None:
    assert kinds(over(route([]))) == ["DestinationRule", "VirtualService"]


def test_a_route_stays_with_the_api_in_use() -> None:
    own = virtual_service("web", "web", [])
    theirs = http_route("canary", TO_V1)
    assert kinds(over(route([]), own)) == ["DestinationRule", "VirtualService"]
    assert kinds(over(route([]), own, theirs)) == ["DestinationRule", "VirtualService"]
    assert kinds(over(route([]), theirs)) == ["Service", "Service", "HTTPRoute"]
    assert kinds(over(route([], port=9090), theirs)) == ["DestinationRule", "VirtualService"]
    assert kinds(over(route([], api="mesh"), theirs)) == ["DestinationRule", "VirtualService"]


def test_beside_an_http_route_a_field_that_needs_a_virtual_service_is_refused() -> None:
    with pytest.raises(BadInput, match="An HTTPRoute cannot do this"):
        over(route([], fault={"delay_s": 1}), http_route("canary", TO_V1))


def test_at_a_waypoint_an_http_route_is_chosen_if_it_can_carry_the_rules() -> None:
    meta = {"name": "shop", "labels": {"istio.io/use-waypoint": "waypoint"}}
    waypoint = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "waypoint", "namespace": "shop"},
        "spec": {"gatewayClassName": "istio-waypoint"},
    }
    ambient = ({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}, waypoint)
    assert kinds(over(route([]), *ambient))[-1] == "HTTPRoute"
    assert kinds(over(route([], fault={"delay_s": 1}), *ambient))[-1] == "VirtualService"


def rivals_of(asked: Route, *objects: Object) -> list[str]:
    seen = Snapshot((*WORKLOADS, *WEB, sidecar("istio"), *objects))
    return [f"{each.code} {each.message}" for each in rivals.check(asked, seen, MESHES["istio"])]


def test_the_other_api_does_not_join_in_silently() -> None:
    with pytest.raises(BadInput, match="does not merge") as refused:
        over(route([], api="gateway"), virtual_service("web", "web", []))
    assert refused.value.field == "route.api"
    assert "meshkit convert shop/web" in refused.value.remedy
    (found,) = rivals_of(route([], api="mesh"), http_route("canary", TO_V1))
    assert found.startswith("MK0204 HTTPRoute shop/canary already rules the requests to web.shop:8080")


def test_a_route_joins_the_http_route_of_somebody_else_for_other_requests() -> None:
    match = {"headers": [{"name": "x-user", "value": "tester"}]}
    assert rivals_of(route([]), http_route("canary", [{"matches": [match], **TO_V1[0]}])) == []
