"""Routes that split the connections of a TCP port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.operations.explain import explain
from tests.unit.meshes.routed import MARKS, WORKLOADS, route, service

DB = (*WORKLOADS[:-2], service("web", appProtocol="tcp"))
PLANNER = registry.mesh("istio").planner


def tcp(**more: Any) -> Route:
    return route([], protocol="tcp", **{"split": {"v1": 90, "v2": 10}, **more})


def virtual_service(steps: tuple[Step, ...]) -> Object:
    (found,) = [step.object for step in steps if step.kind.kind == "VirtualService"]
    spec: Object = found["spec"]
    return spec


def test_the_connections_of_a_port_are_split() -> None:
    (entry,) = virtual_service(PLANNER.plan(tcp(), Snapshot(DB)))["tcp"]
    assert entry["match"] == [{"port": 8080}]
    assert [(each["destination"]["subset"], each["weight"]) for each in entry["route"]] == [
        ("v1", 90),
        ("v2", 10),
    ]


def test_routes_of_other_ports_stay_whatever_their_protocol() -> None:
    both = service("web")
    both["spec"]["ports"].append({"name": "tcp-db", "port": 5432})
    first = PLANNER.plan(route([]), Snapshot((both,)))
    of_two = PLANNER.plan(tcp(port=5432), Snapshot((both, *(step.object for step in first))))
    found = virtual_service(of_two)
    assert [each["match"][0]["port"] for each in found["http"]] == [8080]
    assert [each["match"][0]["port"] for each in found["tcp"]] == [5432]
    again = virtual_service(PLANNER.plan(route([]), Snapshot((both, *(step.object for step in of_two)))))
    assert again == found


SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **MARKS["istio"]}}


def test_a_connection_is_explained_by_its_shares(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    steps = PLANNER.plan(tcp(), Snapshot(DB))
    file.write_text(yaml.safe_dump_all([SHOP, *DB, *(step.object for step in steps)]))
    (way,) = explain("web.shop:8080", files=[file], caller="shop/client", mesh="istio").ways
    assert [(each.subset, each.share_percent) for each in way.destinations] == [("v1", 90), ("v2", 10)]


@pytest.mark.parametrize(
    ("mesh", "asked", "held", "field", "said"),
    [
        ("istio", tcp(), WORKLOADS, "route.protocol", "does not split whole connections"),
        ("istio", route([]), DB, "route.port", "protocol: tcp splits its connections"),
        ("istio", tcp(api="gateway"), DB, "route.protocol", "api: mesh"),
        ("linkerd", tcp(), DB, "route.protocol", "Service of a version"),
    ],
)
def test_a_route_that_would_have_no_effect_is_refused(
    mesh: str, asked: Route, held: tuple[Object, ...], field: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        registry.mesh(mesh).planner.plan(asked, Snapshot(held))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "of_requests"),
    [
        ("matches", {"matches": [{"header": "a", "value": "b", "version": "v2"}]}),
        ("timeout_s", {"timeout_s": 1}),
        ("retries", {"retries": {"attempts": 1}}),
        ("fault", {"fault": {"delay_s": 1}}),
        ("name", {"name": "blue"}),
        ("load_balancing.hash_header", {"load_balancing": {"hash_header": "x"}}),
        ("connection_limits.http2", {"connection_limits": {"http2": True}}),
    ],
)
def test_what_is_of_requests_is_no_part_of_it(field: str, of_requests: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        tcp(**of_requests)
    assert refused.value.field == f"route.{field}"
