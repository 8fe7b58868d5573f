"""A Route is read back from the objects that its plan wrote: planned again, it writes the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.errors import MeshkitError
from meshkit.facts import Object, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.base import MeshPlanner
from meshkit.meshes.routing.written import Written
from tests.unit.meshes.golden_cases import CASES, PLANNERS, SHOP
from tests.unit.meshes.routed import CARRIERS, MATCH, V2, WORKLOADS, route, service, stored

CONFORMANCE = Path(__file__).parents[2] / "conformance" / "routes" / "cases"
EVERY_MATCH = {
    "matches": [
        {"path": {"prefix": "/api"}, "method": "GET", "headers": {"X-User": {"exact": "a"}}},
        {"path": {"exact": "/one"}, "query": {"page": {"regex": "[0-9]+"}}},
        {"headers": {"x-id": {"present": True}}, "query": {"x": {"exact": ""}}},
    ]
}
ADD = {
    "matches": [{"grpc": {"service": "shop.Cart", "method": "Add"}, "headers": {"x-user": {"exact": "a"}}}],
    **V2,
}
ALL = [
    route([]),
    route([], split={"v1": 99.5, "v2": 0.5}, port=9090, name="blue"),
    route([{**EVERY_MATCH, **V2}], timeout_s=2.5, matches=[{"header": "X-A", "value": "b", "version": "v2"}]),
    route([{**MATCH, "split": {"v2": 1, "v1": 99}, "timeout_s": 0.25}], timeout_s=2),
    route([{**MATCH, "services": [{"service": "other", "port": 9090}]}]),
    route(
        [
            {
                **MATCH,
                "services": [
                    {"service": "other", "port": 9090, "percent": 30},
                    {"service": "web", "port": 8080, "percent": 70},
                ],
            }
        ]
    ),
    route([{**MATCH, "redirect": {"host": "a.example", "port": 8443, "scheme": "https", "status": 301}}]),
    route([{**MATCH, **V2, "request_headers": {"set": {"a": "50 %"}, "remove": ["b"]}}]),
    route([], versions=[{"name": "v1"}, {"name": "v2", "labels": {"track": "canary"}}]),
    route([], selector={"team": "web", "app": "web"}),
    route([ADD, {"matches": [{"grpc": {"service": "shop.Cart"}}], "split": {"v1": 90, "v2": 10}}]),
    route([ADD, {"matches": [{"grpc": {"method": "Watch"}}], **V2}]),
]
MORE = {
    "istio": [
        route([{"matches": [{"path": {"prefix": at}}], **V2, "rewrite": {"prefix": to}}])
        for at, to in (("/a", "/b"), ("/", "/b"), ("/a", "/"), ("/a.b", "/\\1"))
    ]
    + [
        route([{**V2, "rewrite": {"path": "/b", "host": "b.example"}, "mirror": {"version": "v1"}}]),
        route([{**MATCH, **V2, "mirror": {"service": "other", "port": 9090, "percent": 0.5}}]),
        route([{"matches": [{"path": {"prefix": "/"}}], **V2}]),
        route([{**MATCH, "respond": {"status": 410, "body": "gone"}}]),
        route([{"matches": [{"headers": {"a": {"present": False}, "b": {"prefix": "c"}}}], **V2}]),
        route([{"matches": [{"source_labels": {"app": "x"}, "source_namespace": "y"}], **V2}]),
        route([{"matches": [{"query": {"a": {"prefix": "b."}}}], **V2, "retries": {"attempts": 0}}]),
        route(
            [{**MATCH, **V2, "cors": {"origins": ["*"], "max_age_s": 9, "credentials": True}}],
            retries={"attempts": 3, "on": "5xx", "statuses": [409, 429], "per_try_timeout_s": 1},
            fault={"delay_s": 0.5, "delay_percent": 1, "abort_status": 503, "abort_percent": 0.5},
        ),
        route([], protocol="tcp", split={"v1": 90, "v2": 10}, connection_limits={"max_connections": 5}),
        route([{**ADD, "retries": {"attempts": 1, "grpc_statuses": ["cancelled"], "statuses": [429]}}]),
    ],
    "linkerd": [
        route([], retries={"attempts": 3, "on": "5xx", "statuses": [429], "per_try_timeout_s": 0.5}),
        route([], outlier_detection={"consecutive_5xx": 3, "base_ejection_s": 2, "max_ejection_s": 9}),
        route([ADD], timeout_s=2.5, retries={"attempts": 2, "grpc_statuses": ["unavailable", "internal"]}),
    ],
}
POLICIES: list[dict[str, Any]] = [
    {"load_balancing": {"algorithm": "round_robin", "warm_up_s": 30}},
    {"load_balancing": {"hash_cookie": {"name": "c", "ttl_s": 0, "path": "/"}}},
    {"load_balancing": {"hash_source": True, "distribute": {"a/b/*": {"a/b/*": 80, "a/c/*": 20}}}},
    {"load_balancing": {"failover": {"a": "b"}}, "outlier_detection": {"consecutive_gateway_errors": 2}},
    {"outlier_detection": {"consecutive_local_failures": 4, "min_healthy_percent": 30}},
    {
        "connection_limits": {
            **dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 7),
            "connect_timeout_s": 0.5,
            "idle_timeout_s": 60,
            "http2": True,
            "keepalive": {"time_s": 30, "probes": 3},
        }
    },
]
MORE["istio gateway"] = [route([], **each) for each in POLICIES]
MORE["istio"] += MORE["istio gateway"]


def read_back(mesh: str, asked: Route, seen: Snapshot) -> Route:
    reader = registry.mesh(mesh).written_routes
    assert reader is not None
    found = list(reader.routes(asked.namespace, asked.service, seen))
    (one,) = [each for each in found if each.port == asked.port]
    assert one.route is not None, one.problem
    return one.route


def require_same(planner: MeshPlanner, asked: Route, before: Snapshot) -> None:
    """The Route that is read back is planned to the objects that stand there."""
    steps = planner.plan(asked, before)
    seen = stored(before, steps)
    found = read_back(planner.mesh, asked, seen)
    assert _objects(planner.plan(found, seen)) == _objects(planner.plan(asked, seen))
    for name in ("service", "namespace", "port", "name"):
        assert getattr(found, name) == getattr(asked, name), name
    assert found.weights() == asked.weights()
    assert len(found.matches) == len(asked.matches)


def _objects(steps: tuple[Step, ...]) -> list[Object]:
    return [step.object for step in steps]


def named(asked: Route) -> str:
    return ",".join(sorted(asked.model_fields_set - {"namespace", "service", "port", "versions"}))


@pytest.mark.parametrize(
    ("carrier", "asked"),
    [(carrier, asked) for carrier in CARRIERS for asked in (*ALL, *MORE[carrier])],
    ids=lambda value: value if isinstance(value, str) else named(value),
)
def test_what_a_plan_wrote_is_read_back(carrier: str, asked: Route) -> None:
    mesh, _, api = carrier.partition(" ")
    wanted = asked.model_copy(update={"api": api}) if api else asked
    workloads = (
        Snapshot((*WORKLOADS[:-2], service("web", appProtocol="tcp"))) if asked.protocol == "tcp" else None
    )
    require_same(registry.mesh(mesh).planner, wanted, workloads or Snapshot(WORKLOADS))


@pytest.mark.parametrize("name", [name for name, (_, intent) in CASES.items() if isinstance(intent, Route)])
def test_the_golden_routes_are_read_back(name: str) -> None:
    meshes, intent = CASES[name]
    assert isinstance(intent, Route)
    for mesh in meshes:
        require_same(PLANNERS[mesh], intent, SHOP)


def cases() -> list[str]:
    return sorted(path.name for path in CONFORMANCE.glob("*.yaml") if "\nroute:" in path.read_text())


@pytest.mark.parametrize("name", cases())
def test_the_routes_that_istiod_is_asked_about_are_read_back(name: str) -> None:
    written: dict[str, Any] = yaml.safe_load((CONFORMANCE / name).read_text())["route"]
    asked = Route(namespace="shop", service="web", port=8080, **written)
    for planner in PLANNERS.values():
        try:
            planner.plan(asked, Snapshot(WORKLOADS))
        except MeshkitError:
            continue
        require_same(planner, asked, Snapshot(WORKLOADS))


def test_defaults_of_the_api_server_are_no_conditions() -> None:
    """It adds the path / to a match of an HTTPRoute without one, and a match to a rule without any."""
    asked = route([], api="gateway", matches=[{"header": "x", "value": "y", "version": "v2"}])
    planner = registry.mesh("istio").planner
    seen = stored(Snapshot(WORKLOADS), planner.plan(asked, Snapshot(WORKLOADS)))
    (held,) = seen.of("HTTPRoute")
    for rule in held["spec"]["rules"]:
        rule["matches"] = [
            {"path": {"type": "PathPrefix", "value": "/"}, **match} for match in rule.get("matches") or [{}]
        ]
    assert read_back("istio", asked, seen).matches == asked.matches


def test_an_object_that_no_route_writes_says_why() -> None:
    asked = route([])
    seen = stored(Snapshot(WORKLOADS), registry.mesh("istio").planner.plan(asked, Snapshot(WORKLOADS)))
    (held,) = seen.of("VirtualService")
    held["spec"]["http"][0]["match"] = [{"uri": {"prefix": "/x"}}]
    reader = registry.mesh("istio").written_routes
    assert reader is not None
    (found,) = reader.routes("shop", "web", seen)
    assert isinstance(found, Written)
    assert (found.route, found.port) == (None, None)
    assert "VirtualService shop/web" in found.problem
