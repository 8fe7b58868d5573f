"""What the objects of a Route's rules do to requests, by the meaning that istiod and Linkerd are held to.

Each Route is planned, its objects are written to a file beside the workloads, and ``explain`` is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.meshes import registry
from meshkit.meshes.routing import capabilities
from tests.unit.meshes.routed import CARRIERS, MATCH, MESHES, V2, WORKLOADS, route, target, way

CASES: list[tuple[dict[str, Any], list[tuple[str, dict[str, Any], bool]]]] = [
    (
        {"path": {"prefix": "/api"}},
        [
            ("/api", {}, True),
            ("/api/users", {}, True),
            ("/api?x=1", {}, True),
            ("/apis", {}, False),
            ("/", {}, False),
        ],
    ),
    ({"path": {"prefix": "/api/"}}, [("/api", {}, True), ("/api/users", {}, True), ("/apis", {}, False)]),
    ({"path": {"prefix": "/"}}, [("/", {}, True), ("/any/where", {}, True)]),
    ({"path": {"exact": "/health"}}, [("/health", {}, True), ("/health/", {}, False)]),
    (
        {"path": {"regex": "/v[0-9]+/.*"}},
        [("/v12/x", {}, True), ("/vx/x", {}, False), ("/a/v1/x", {}, False)],
    ),
    ({"method": "POST"}, [("/", {"method": "POST"}, True), ("/", {}, False)]),
    (
        {"headers": {"X-User": {"exact": "tester"}}},
        [
            ("/", {"headers": {"x-user": "tester"}}, True),
            ("/", {"headers": {"x-user": "testers"}}, False),
            ("/", {}, False),
        ],
    ),
    (
        {"headers": {"x-user": {"regex": "beta-.*"}}},
        [
            ("/", {"headers": {"x-user": "beta-7"}}, True),
            ("/", {"headers": {"x-user": "a-beta-7"}}, False),
        ],
    ),
    (
        {"headers": {"x-user": {"present": True}}},
        [("/", {"headers": {"x-user": "anybody"}}, True), ("/", {}, False)],
    ),
    (
        {"query": {"beta": {"exact": "1"}}},
        [("/?beta=1", {}, True), ("/?beta=2", {}, False), ("/", {}, False)],
    ),
    ({"query": {"beta": {"regex": "[0-9]+"}}}, [("/?beta=12", {}, True), ("/?beta=x", {}, False)]),
    ({"query": {"beta": {"present": True}}}, [("/?beta=no", {}, True), ("/?gamma=1", {}, False)]),
    (
        {"path": {"prefix": "/api"}, "method": "GET", "headers": {"x-user": {"exact": "a"}}},
        [
            ("/api/x", {"headers": {"x-user": "a"}}, True),
            ("/api/x", {}, False),
            ("/api/x", {"headers": {"x-user": "a"}, "method": "PUT"}, False),
        ],
    ),
]
ISTIO_ONLY: list[tuple[dict[str, Any], list[tuple[str, dict[str, Any], bool]]]] = [
    (
        {"headers": {"x-user": {"prefix": "beta-"}}},
        [("/", {"headers": {"x-user": "beta-7"}}, True), ("/", {"headers": {"x-user": "7"}}, False)],
    ),
    (
        {"headers": {"X-User": {"present": False}}},
        [("/", {}, True), ("/", {"headers": {"x-user": "7"}}, False)],
    ),
    ({"query": {"beta": {"prefix": "1."}}}, [("/?beta=1.7", {}, True), ("/?beta=127", {}, False)]),
    ({"source_labels": {"team": "edge"}}, [("/", {}, True), ("/", {"caller": "batch"}, False)]),
    ({"source_namespace": "shop"}, [("/", {}, True)]),
    ({"source_namespace": "other"}, [("/", {}, False)]),
]


def _can(carrier: str, match: dict[str, Any]) -> bool:
    """Whether it has the match: Istio tries every prefix of an HTTPRoute, ``/`` too, before an expression."""
    return carrier in MESHES or "regex" not in match.get("path", {})


@pytest.mark.parametrize(
    ("mesh", "match", "requests"),
    [(carrier, *case) for carrier in CARRIERS for case in CASES if _can(carrier, case[0])]
    + [("istio", *case) for case in ISTIO_ONLY],
)
def test_a_match_takes_the_requests_that_it_describes(
    tmp_path: Path, mesh: str, match: dict[str, Any], requests: list[tuple[str, dict[str, Any], bool]]
) -> None:
    asked = route([{"matches": [match], **V2}])
    for path, request, is_taken in requests:
        found = way(mesh, tmp_path, asked, path, **request)
        assert (path, request, target(found)) == (path, request, "v2" if is_taken else "v1")


@pytest.mark.parametrize("mesh", CARRIERS)
def test_the_first_rule_that_matches_counts_and_any_of_its_matches_will_do(mesh: str, tmp_path: Path) -> None:
    rules = [
        {"matches": [{"path": {"exact": "/a/b"}}, {"path": {"exact": "/c"}}], **V2},
        {"matches": [{"path": {"prefix": "/a"}}], "services": [{"service": "other", "port": 9090}]},
    ]
    asked = route(rules, matches=[{"header": "x-old", "value": "1", "version": "v1"}], split={"v2": 100})
    old = {"x-old": "1"}
    for path, headers, expected in (
        ("/a/b", old, "v2"),
        ("/c", {}, "v2"),
        ("/a/x", old, "other:9090"),
        ("/x", old, "v1"),
        ("/x", {}, "v2"),
    ):
        assert target(way(mesh, tmp_path, asked, path, headers=headers)) == expected


@pytest.mark.parametrize("mesh", CARRIERS)
def test_a_rule_has_shares_of_its_own(mesh: str, tmp_path: Path) -> None:
    services = [
        {"service": "other", "port": 9090, "percent": 12.5},
        {"service": "web", "port": 8080, "percent": 87.5},
    ]
    rules = [
        {"matches": [{"path": {"exact": "/half"}}], "split": {"v2": 50, "v1": 50}},
        {"matches": [{"path": {"prefix": "/some"}}], "services": services},
    ]
    halves = way(mesh, tmp_path, route(rules), "/half")
    assert [each.share_percent for each in halves.destinations] == [50, 50]
    some = way(mesh, tmp_path, route(rules), "/some/x")
    assert [(each.host.split(".")[0], each.share_percent) for each in some.destinations] == [
        ("other", 12.5),
        ("web", 87.5),
    ]


@pytest.mark.parametrize("mesh", CARRIERS)
def test_what_a_rule_does_not_say_the_route_says(mesh: str, tmp_path: Path) -> None:
    rules = [
        {"matches": [{"path": {"exact": "/slow"}}], "timeout_s": 60, **V2},
        {"matches": [{"path": {"prefix": "/x"}}], **V2},
    ]
    asked = route(rules, timeout_s=2.5)
    for path, timeout in (("/slow", "timeout 60 s"), ("/x", "timeout 2.5 s"), ("/", "timeout 2.5 s")):
        assert timeout in way(mesh, tmp_path, asked, path).actions


@pytest.mark.parametrize("mesh", CARRIERS)
def test_a_redirect_names_what_it_changes(mesh: str, tmp_path: Path) -> None:
    redirect = {"scheme": "https", "host": "shop.example", "path": "/new", "status": 301}
    rules = [{"matches": [{"path": {"prefix": "/old"}}], "redirect": redirect}]
    answer = way(mesh, tmp_path, route(rules), "/old/x").answer
    assert answer.startswith("301")
    assert "https://shop.example" in answer
    assert "/new" in answer
    assert target(way(mesh, tmp_path, route(rules), "/olds")) == "v1"


@pytest.mark.parametrize("mesh", CARRIERS)
def test_headers_are_set_added_and_removed(mesh: str, tmp_path: Path) -> None:
    edits = {"set": {"x-a": "1"}, "add": {"x-b": "2"}, "remove": ["x-c"]}
    rules = [
        {"matches": [{"path": {"prefix": "/"}}], **V2, "request_headers": edits, "response_headers": edits}
    ]
    actions = " ".join(way(mesh, tmp_path, route(rules), "/").actions)
    for side in ("request", "response"):
        for name in ("x-a", "x-b", "x-c"):
            assert name in actions, (side, name, actions)


def test_istio_answers_rewrites_mirrors_fails_and_retries_by_rule(tmp_path: Path) -> None:
    rules = [
        {"matches": [{"path": {"exact": "/gone"}}], "respond": {"status": 410, "body": "gone"}},
        {
            "matches": [{"path": {"prefix": "/api"}}],
            **V2,
            "rewrite": {"prefix": "/v2", "host": "web.internal"},
            "mirror": {"version": "v1", "percent": 10},
            "fault": {"delay_s": 0.5, "delay_percent": 20},
            "retries": {"attempts": 3, "on": "5xx", "statuses": [429], "backoff_s": 0.05},
        },
    ]
    assert way("istio", tmp_path, route(rules), "/gone").answer.startswith("410")
    actions = "; ".join(way("istio", tmp_path, route(rules), "/api/users").actions)
    for part in ("web.internal", "10 %", "subset v1", "0.5 s", "20 %", "3", "429"):
        assert part in actions, (part, actions)


@pytest.mark.parametrize(
    ("matched", "written", "asked", "sent"),
    [
        ("/api", "/v2", "/api/users", "/v2/users"),
        ("/api", "/v2", "/api", "/v2"),
        ("/api/", "/v2/", "/api/users", "/v2/users"),
        ("/api", "/", "/api/users", "/users"),
        ("/api", "/", "/api", "/"),
        ("/", "/api", "/users", "/api/users"),
    ],
)
def test_a_prefix_is_replaced_by_whole_segments(
    tmp_path: Path, matched: str, written: str, asked: str, sent: str
) -> None:
    import re

    rules = [{"matches": [{"path": {"prefix": matched}}], **V2, "rewrite": {"prefix": written}}]
    found = registry.mesh("istio").planner.plan(route(rules), Snapshot(WORKLOADS))
    (service,) = (step.object for step in found if step.object["kind"] == "VirtualService")
    expression = service["spec"]["http"][0]["rewrite"]["uriRegexRewrite"]
    assert re.sub(expression["match"], expression["rewrite"], asked) == sent
    assert target(way("istio", tmp_path, route(rules), asked)) == "v2"


def test_gateway_api_keeps_the_order_or_is_refused() -> None:
    """It tries the more specific match first, so a wide rule before a narrow one would not be kept."""
    planner = registry.mesh("linkerd").planner
    wide = {"matches": [{"path": {"prefix": "/a"}}], **V2}
    narrow = {"matches": [{"path": {"exact": "/a/b"}}], "split": {"v1": 100}}
    planner.plan(route([narrow, wide]), Snapshot(WORKLOADS))
    with pytest.raises(
        BadInput, match=r"more specific match first.*Put rules\[1\] before rules\[0\]"
    ) as refused:
        planner.plan(route([wide, narrow]), Snapshot(WORKLOADS))
    assert refused.value.field == "route.rules[1]"
    registry.mesh("istio").planner.plan(route([wide, narrow]), Snapshot(WORKLOADS))


def test_rules_that_exclude_each_other_may_stand_in_any_order() -> None:
    rules = [
        {"matches": [{"method": "GET"}], **V2},
        {"matches": [{"method": "POST", "path": {"prefix": "/a"}}], "split": {"v1": 100}},
    ]
    registry.mesh("linkerd").planner.plan(route(rules), Snapshot(WORKLOADS))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"prefix": "/a"}, {"exact": "/b/c"}),
        ({"prefix": "/a"}, {"prefix": "/ab/c"}),
        ({"prefix": "/a/b"}, {"exact": "/a"}),
    ],
)
def test_paths_that_no_request_shares_may_stand_in_any_order(
    first: dict[str, str], second: dict[str, str]
) -> None:
    rules = [{"matches": [{"path": path}], **V2} for path in (first, second)]
    registry.mesh("linkerd").planner.plan(route(rules), Snapshot(WORKLOADS))


def test_istio_spreads_requests_as_the_route_says(tmp_path: Path) -> None:
    asked = route(
        [],
        load_balancing={"algorithm": "round_robin", "warm_up_s": 60, "failover": {"eu-west": "eu-central"}},
        connection_limits={
            "max_connections": 5,
            "max_retries": 2,
            "connect_timeout_s": 0.5,
            "idle_timeout_s": 30,
            "keepalive": {"time_s": 60, "probes": 3},
            "http2": True,
        },
        outlier_detection={"consecutive_gateway_errors": 3, "min_healthy_percent": 50},
    )
    (found,) = way("istio", tmp_path, asked, "/").destinations
    assert set(found.settings) >= {
        *("balancing.policy ROUND_ROBIN", "balancing.warmup_s 60.0", "limits.max_connections 5"),
        *("limits.max_retries 2", "limits.idle_timeout_s 30.0", "limits.connect_timeout_s 0.5"),
    }
    (rule,) = [
        step.object["spec"]["trafficPolicy"]["portLevelSettings"][0]
        for step in registry.mesh("istio").planner.plan(asked, Snapshot(WORKLOADS))
        if step.object["kind"] == "DestinationRule"
    ]
    assert rule == {
        "port": {"number": 8080},
        "loadBalancer": {
            "simple": "ROUND_ROBIN",
            "warmup": {"duration": "60s"},
            "localityLbSetting": {"enabled": True, "failover": [{"from": "eu-west", "to": "eu-central"}]},
        },
        "connectionPool": {
            "tcp": {
                "maxConnections": 5,
                "connectTimeout": "500ms",
                "tcpKeepalive": {"probes": 3, "time": "60s"},
            },
            "http": {"maxRetries": 2, "idleTimeout": "30s", "h2UpgradePolicy": "UPGRADE"},
        },
        "outlierDetection": {
            "consecutive5xxErrors": 5,
            "consecutiveGatewayErrors": 3,
            "interval": "10s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 10,
            "minHealthPercent": 50,
        },
    }


@pytest.mark.parametrize(
    ("balancing", "written"),
    [
        ({"hash_header": "x-user"}, {"httpHeaderName": "x-user"}),
        ({"hash_query": "user"}, {"httpQueryParameterName": "user"}),
        ({"hash_source": True}, {"useSourceIp": True}),
        (
            {"hash_cookie": {"name": "session", "ttl_s": 0, "path": "/"}},
            {"httpCookie": {"name": "session", "ttl": "0s", "path": "/"}},
        ),
    ],
)
def test_istio_keeps_a_key_with_one_pod(
    tmp_path: Path, balancing: dict[str, Any], written: dict[str, Any]
) -> None:
    asked = route([], load_balancing=balancing)
    (rule,) = [
        step.object
        for step in registry.mesh("istio").planner.plan(asked, Snapshot(WORKLOADS))
        if step.object["kind"] == "DestinationRule"
    ]
    policy = rule["spec"]["trafficPolicy"]["portLevelSettings"][0]
    assert policy["loadBalancer"] == {"consistentHash": written}
    (found,) = way("istio", tmp_path, asked, "/").destinations
    assert "balancing.policy RING_HASH" in found.settings


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("linkerd", {**MATCH, "respond": {"status": 410}}, "respond"),
    ("linkerd", {**MATCH, **V2, "mirror": {"version": "v1"}}, "mirror"),
    ("linkerd", {**MATCH, **V2, "rewrite": {"path": "/b"}}, "rewrite"),
    ("linkerd", {**MATCH, **V2, "cors": {"origins": ["*"]}}, "cors"),
    ("linkerd", {**MATCH, **V2, "fault": {"delay_s": 1}}, "fault"),
    ("linkerd", {**MATCH, **V2, "retries": {"attempts": 1}}, "retries"),
    ("linkerd", {**MATCH, "redirect": {"path": "/b", "status": 308}}, "redirect.status"),
    (
        "linkerd",
        {**MATCH, "services": [{"service": "a", "port": 1, "namespace": "b"}]},
        "services[0].namespace",
    ),
    ("linkerd", {"matches": [{"source_labels": {"a": "b"}}], **V2}, "matches[0].source_labels"),
    ("linkerd", {"matches": [{"headers": {"a": {"prefix": "b"}}}], **V2}, "matches[0].headers.a.prefix"),
    ("linkerd", {"matches": [{"headers": {"a": {"present": False}}}], **V2}, "matches[0].headers.a.present"),
    ("istio", {"matches": [{"query": {"a": {"present": False}}}], **V2}, "matches[0].query.a.present"),
]


@pytest.mark.parametrize(("mesh", "rule", "field"), REFUSED)
def test_what_a_mesh_cannot_do_is_refused_with_what_it_can(
    mesh: str, rule: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput, match="cannot do this") as refused:
        registry.mesh(mesh).planner.plan(route([rule]), Snapshot(WORKLOADS))
    assert refused.value.field == f"route.rules[0].{field}"


@pytest.mark.parametrize("mesh", MESHES)
def test_every_limit_is_a_field_of_a_route(mesh: str) -> None:
    known = {place for place, _ in capabilities.places()}
    for limits in registry.mesh(mesh).planner.limits.values():
        assert set(limits) <= known


def test_istio_is_told_a_percent_sign_of_a_header_literally() -> None:
    """One percent sign begins a variable of Envoy, and istiod refuses an odd number of them."""
    edits = {"set": {"x-share": "100%"}, "add": {"x-text": "%REQ(x)%"}}
    intent = route([{**V2, "request_headers": edits}])
    steps = registry.mesh("istio").planner.plan(intent, Snapshot(WORKLOADS))
    (rules,) = [step.object["spec"]["http"] for step in steps if step.object["kind"] == "VirtualService"]
    written = {"set": {"x-share": "100%%"}, "add": {"x-text": "%%REQ(x)%%"}}
    assert rules[0]["headers"]["request"] == written
