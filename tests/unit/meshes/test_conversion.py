"""A VirtualService becomes HTTPRoutes by which no request changes, or is refused by the field that would."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshkit.checks.planned import schema
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.kube.steps import Step
from meshkit.meshes.istio.traffic.conversion import conversion
from meshkit.meshes.routing.policy_fields import ANNOTATION
from meshkit.operations.effects import Effects
from meshkit.operations.routes.convert import effects_of_move
from tests.unit.meshes.routed import DEFINITIONS, MARKS, V2, WORKLOADS, planned, route
from tests.unit.operations.explained import Api, cluster, objects

SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **MARKS["istio"]}}
PLAIN = [{"destination": {"host": "web"}}]
TO_V1 = {"destination": {"host": "web", "subset": "v1"}}
EDITS = {"request": {"set": {"a": "b"}}}


def virtual_service(*http: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "shop"}
    body = {"hosts": ["web"], "http": list(http), **spec}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": meta,
        "spec": body,
    }


def subsets(**policies: Any) -> dict[str, Any]:
    """The DestinationRule with the subsets v1 and v2."""
    listed = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"host": "web", "subsets": listed, **policies},
    }


def converted(*held: Object) -> tuple[tuple[Step, ...], Effects]:
    """The steps of the move of VirtualService web, whose objects are valid, and their effects."""
    text = yaml.safe_dump_all([SHOP, *WORKLOADS, *held])
    there = objects("istio", text)
    steps = conversion("web", "shop", Snapshot(tuple(there)))
    for step in steps[:-1]:
        definition = DEFINITIONS.get((step.kind.group, step.kind.kind))
        assert definition is None or not schema.problems(step.object, definition)
    shown = [
        PlannedStep(step, "remove") if step.removed else PlannedStep(step, "create", after=step.object)
        for step in steps
    ]
    return steps, effects_of_move(shown, cluster(Api(there), "istio"), "istio")


def test_the_virtual_service_of_a_route_becomes_an_http_route_by_which_no_request_changes() -> None:
    rules = [
        {"matches": [{"path": {"exact": "/health"}}], "split": {"v1": 100}, "timeout_s": 1},
        {"matches": [{"path": {"prefix": "/old"}}], "redirect": {"path": "/new", "status": 301}},
        {"matches": [{"path": {"prefix": "/api"}, "method": "GET"}], **V2},
        {
            "matches": [{"headers": {"x-user": {"regex": "beta-.*"}}}],
            "split": {"v1": 50, "v2": 50},
            "request_headers": {"set": {"x-share": "100%"}, "remove": ["x-secret"]},
            "response_headers": {"add": {"x-by": "mesh"}},
        },
        {"matches": [{"query": {"beta": {"present": True}}}], **V2, "rewrite": {"path": "/one"}},
        {
            "matches": [{"query": {"copy": {"exact": "1"}}}],
            "services": [{"service": "other", "port": 9090}],
            "mirror": {"service": "other", "port": 9090, "percent": 10},
        },
    ]
    more = {"split": {"v1": 90, "v2": 10}, "connection_limits": {"max_connections": 5}, "timeout_s": 2.5}
    made = [step.object for step in planned("istio", route(rules, **more))]
    steps, effects = converted(*made)
    assert [("-" if step.removed else "+") + step.title for step in steps] == [
        "+Service shop/web-v1",
        "+Service shop/web-v2",
        "+DestinationRule shop/web-v1",
        "+DestinationRule shop/web-v2",
        "+HTTPRoute shop/web-primary",
        "-VirtualService shop/web",
    ]
    assert steps[-3].settle_s
    assert steps[-2].wait is not None
    assert effects.lines == ["No request changes."]


@pytest.mark.parametrize(
    "http",
    [
        [{"match": [{"uri": {"exact": "/api"}}], "route": PLAIN}, {"timeout": "5s", "route": PLAIN}],
        [{"match": [{"headers": {"x-a": {"prefix": "b"}, "x-c": {}}}], "timeout": "1s", "route": PLAIN}],
        [{"match": [{"port": 8080, "method": {"exact": "PUT"}}], "redirect": {"authority": "x.example"}}],
        [
            {
                "route": [
                    {
                        "destination": {"host": "web", "subset": "v2"},
                        "headers": {"request": {"set": {"a": "b"}}},
                    }
                ]
            }
        ],
        [{"route": [{**TO_V1, "weight": 100}, *PLAIN]}],
    ],
)
def test_a_virtual_service_of_somebody_else_becomes_one_too(http: list[dict[str, Any]]) -> None:
    policy = {"trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 3}}}}
    _, effects = converted(virtual_service(*http), subsets(**policy))
    assert effects.lines == ["No request changes."]


def test_the_policy_of_a_service_stays_one() -> None:
    written = subsets(trafficPolicy={"loadBalancer": {"simple": "RANDOM"}})
    written["metadata"]["annotations"] = {ANNOTATION: "load_balancing"}
    steps, _ = converted(virtual_service({"route": [TO_V1]}), written)
    rule = next(step.object for step in steps if step.kind.kind == "DestinationRule")
    assert rule["metadata"]["annotations"] == {ANNOTATION: "load_balancing"}


def test_a_service_that_has_the_pods_of_a_subset_is_used() -> None:
    held: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web-v2", "namespace": "shop"},
        "spec": {"selector": {"app": "web", "version": "v2"}, "ports": [{"name": "http", "port": 8080}]},
    }
    entry = {"route": [{"destination": {"host": "web", "subset": "v2"}}]}
    steps, effects = converted(virtual_service(entry), subsets(), held)
    assert [step.title for step in steps] == ["HTTPRoute shop/web-primary", "VirtualService shop/web"]
    assert effects.lines == ["No request changes."]
    held["spec"]["selector"] = {"app": "other"}
    with pytest.raises(BadInput, match="selects other pods"):
        converted(virtual_service(entry), subsets(), held)


@pytest.mark.parametrize(
    ("http", "field"),
    [
        ({"fault": {"abort": {"httpStatus": 503}}, "route": PLAIN}, "fault"),
        ({"retries": {"attempts": 3}, "route": PLAIN}, "retries"),
        ({"corsPolicy": {"allowOrigins": [{"exact": "*"}]}, "route": PLAIN}, "corsPolicy"),
        ({"directResponse": {"status": 410}}, "directResponse"),
        ({"delegate": {"name": "x"}}, "delegate"),
        ({"match": [{"sourceLabels": {"a": "b"}}], "route": PLAIN}, "match[0].sourceLabels"),
        ({"match": [{"withoutHeaders": {"a": {}}}], "route": PLAIN}, "match[0].withoutHeaders"),
        ({"match": [{"authority": {"exact": "a"}}], "route": PLAIN}, "match[0].authority"),
        ({"match": [{"method": {"regex": "P.*"}}], "route": PLAIN}, "match[0].method"),
        (
            {"match": [{"ignoreUriCase": True, "uri": {"exact": "/a"}}], "route": PLAIN},
            "match[0].ignoreUriCase",
        ),
        ({"match": [{"uri": {"prefix": "/api"}}], "route": PLAIN}, "match[0].uri.prefix"),
        ({"rewrite": {"uri": "/a"}, "route": PLAIN}, "rewrite.uri"),
        (
            {"mirrors": [TO_V1], "route": PLAIN},
            "mirrors[0].subset",
        ),
        ({"headers": {"request": {"set": {"host": "a"}}}, "route": PLAIN}, "headers.request"),
        ({"route": [{"destination": {"host": "web", "subset": "v9"}}]}, "route[0].destination.subset"),
        ({"route": [{"destination": {"host": "example.com"}}]}, "route[0].destination.host"),
    ],
)
def test_a_field_without_an_equivalent_is_named(http: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        converted(virtual_service(http), subsets())
    assert refused.value.field == f"VirtualService shop/web spec.http[0].{field}"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"gateways": ["public"]}, "spec.gateways"),
        ({"exportTo": ["."]}, "spec.exportTo"),
        ({"hosts": ["web", "other"]}, "spec.hosts"),
        ({"tls": [{"match": [{"sniHosts": ["a"]}], "route": PLAIN}]}, "spec.tls"),
    ],
)
def test_a_virtual_service_that_is_for_more_than_one_service_is_refused(
    spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        converted(virtual_service({"route": PLAIN}, **spec))
    assert refused.value.field == f"VirtualService shop/web {field}"


def test_an_order_that_gateway_api_would_not_keep_is_refused() -> None:
    wide = {"match": [{"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a/"}}], "route": PLAIN}
    narrow = {"match": [{"uri": {"exact": "/a/b"}}], "timeout": "1s", "route": PLAIN}
    with pytest.raises(BadInput, match="more specific match first"):
        converted(virtual_service(wide, narrow))


def test_a_virtual_service_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match="there is no VirtualService shop/web"):
        conversion("web", "shop", Snapshot(WORKLOADS))
