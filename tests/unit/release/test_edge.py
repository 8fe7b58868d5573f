"""A release moves the rules at gateways together with the route of callers in the mesh."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput, Conflict, ManualActionRequired
from meshkit.facts import Object, Snapshot
from meshkit.meshes.base import Edge, WeightedRoute
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing.releases import live_routes
from meshkit.operations.change import apply
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.undo import undo
from tests.unit.meshes.meshed import http_route, service, sidecar, virtual_service
from tests.unit.release.fake_api import OWNER
from tests.unit.release.live_routes import backends, release, subsets, to_hosts, to_subsets
from tests.unit.release.stage import BAD, Killed, Stage

VERSIONS = (service("web-v1", 8080), service("web-v2", 8080))


def at_gateway(name: str, *rules: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    """An HTTPRoute that is bound to a Gateway."""
    obj = http_route(name, list(rules), namespace=namespace)
    obj["spec"]["parentRefs"] = [{"name": "public"}]
    return obj


def found(mesh: str, *objects: Object, **fields: Any) -> tuple[WeightedRoute, Edge]:
    seen = Snapshot((service("web", 8080, 9090), sidecar(mesh), *VERSIONS, *objects))
    return live_routes(release(**fields), seen, MESHES[mesh])


def test_every_rule_at_a_gateway_with_both_versions_is_moved() -> None:
    inside = http_route("web-primary", [backends("web-v1", "web-v2")])
    outside = at_gateway(
        "public",
        backends("web-v1", "web-v2", matches=[{"path": {"type": "PathPrefix", "value": "/"}}]),
        backends("web-v1", "web-v2", matches=[{"path": {"type": "PathPrefix", "value": "/api"}}]),
        backends("stock"),
    )
    route, edge = found("istio", inside, outside)
    assert (str(route), edge.unmoved) == ("HTTPRoute shop/web-primary", ())
    assert [(str(rule), rule.conditions[0]["path"]["value"]) for rule in edge.rules if rule.conditions] == [
        ("HTTPRoute shop/public", "/"),
        ("HTTPRoute shop/public", "/api"),
    ]


def test_a_virtual_service_of_a_gateway_in_another_namespace_is_moved() -> None:
    inside = virtual_service("web", "web", [to_subsets("v1", "v2", name="primary")])
    rule = to_subsets("v1", "v2", match=[{"port": 443, "uri": {"prefix": "/"}}])
    for entry in rule["route"]:
        entry["destination"] |= {"host": "web.shop.svc.cluster.local", "port": {"number": 8080}}
    outside = virtual_service("edge", "shop.example.com", [rule], namespace="ingress", gateways=["public"])
    route, edge = found("istio", inside, outside, subsets(v1="v1", v2="v2"))
    assert str(route) == "VirtualService shop/web"
    assert [str(rule) for rule in edge.rules] == ["VirtualService ingress/edge"]


def test_the_rules_of_one_virtual_service_for_sidecars_and_for_a_gateway() -> None:
    rules = [
        to_subsets("v1", "v2", match=[{"gateways": ["mesh"]}]),
        to_subsets("v1", "v2", match=[{"gateways": ["public"]}]),
    ]
    obj = virtual_service("web", "web", rules, gateways=["mesh", "public"])
    route, edge = found("istio", obj, subsets(v1="v1", v2="v2"))
    assert route.conditions == [{"gateways": ["mesh"]}]
    assert [rule.conditions for rule in edge.rules] == [[{"gateways": ["public"]}]]


def test_one_rule_for_sidecars_and_a_gateway_is_moved_once() -> None:
    obj = virtual_service("web", "web", [to_subsets("v1", "v2")], gateways=["mesh", "public"])
    route, edge = found("istio", obj, subsets(v1="v1", v2="v2"))
    assert (str(route), edge) == ("VirtualService shop/web", Edge())


def test_a_release_that_is_routed_at_the_edge_alone_moves_that() -> None:
    route, edge = found("istio", at_gateway("public", backends("web-v1", "web-v2")))
    assert (str(route), edge.rules) == ("HTTPRoute shop/public", ())
    assert edge.unmoved == (
        "No route rules the requests of callers in the mesh to web.shop:8080;"
        " the release does not shift them.",
    )


def test_what_reaches_the_stable_version_beside_the_weights_is_told() -> None:
    inside = virtual_service("web", "web", [to_subsets("v1", "v2")])
    plain = at_gateway("public", {"backendRefs": [{"name": "web", "port": 8080}]})
    fixed = virtual_service("fixed", "a.example.com", [to_hosts("web-v1")], gateways=["public"])
    elsewhere = at_gateway("other", {"backendRefs": [{"name": "web", "port": 9090}]})
    edge = found("istio", inside, plain, fixed, elsewhere, subsets(v1="v1", v2="v2"))[1]
    assert edge.rules == ()
    assert [told.partition(", whatever")[0] for told in edge.unmoved] == [
        "VirtualService shop/fixed http[0] sends requests from outside to web-v1:8080",
        "HTTPRoute shop/public rules[0] sends requests from outside to web:8080",
    ]


def test_beside_linkerd_the_gateways_own_controller_decides() -> None:
    inside = http_route("web-primary", [backends("web-v1", "web-v2")])
    edge = found("linkerd", inside, at_gateway("public", backends("web-v1", "web-v2")))[1]
    assert edge.rules == ()
    assert "its own controller" not in edge.unmoved[0]
    assert "whose own controller decides" in edge.unmoved[0]
    assert "web.shop:8080" in edge.unmoved[0]


class EdgeStage(Stage):
    """A release with a VirtualService for callers in the mesh and another for a gateway."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        obj = virtual_service("edge", "shop.example.com", [to_subsets("v1", "v2")], gateways=["public"])
        for entry in obj["spec"]["http"][0]["route"]:
            entry["destination"]["host"] = "web.shop.svc.cluster.local"
        obj["metadata"]["managedFields"] = [OWNER]
        self.fake.api.create(obj)

    @property
    def edge(self) -> dict[str, Any]:
        return self.fake.api.objects["VirtualService", "shop", "edge"]

    def edge_weights(self) -> tuple[int, ...]:
        return tuple(entry["weight"] for entry in self.edge["spec"]["http"][0]["route"])

    def set_edge(self, stable: int, canary: int) -> None:
        obj = self.edge
        for entry, weight in zip(obj["spec"]["http"][0]["route"], (stable, canary), strict=True):
            entry["weight"] = weight
        self.fake.api.apply(obj)


def test_the_edge_follows_every_step_and_keeps_its_owner() -> None:
    stage = EdgeStage()
    plan = stage.plan()
    assert "at the edge" in str(plan)
    assert "VirtualService shop/edge" in str(plan)
    seen = set()
    outcome = stage.run(lambda _: seen.add((stage.fake.weights(), stage.edge_weights())), plan=plan)
    assert outcome.result == "promoted"
    assert all(inside == outside for inside, outside in seen)
    assert stage.edge_weights() == (0, 100)
    assert [entry["manager"] for entry in stage.edge["metadata"]["managedFields"]] == ["argocd"]
    undo(outcome.change_id, stage.cluster)
    assert (stage.fake.weights(), stage.edge_weights()) == ((100, 0), (100, 0))


def test_a_bad_canary_is_taken_back_at_the_edge_too() -> None:
    stage = EdgeStage(canary_behaviour=BAD)
    assert stage.run().result == "rolled_back"
    assert (stage.fake.weights(), stage.edge_weights()) == ((100, 0), (100, 0))


def test_a_kill_between_the_writes_of_a_step_is_made_good_by_the_next_process() -> None:
    stage = EdgeStage()
    writes = iter(range(100))

    def kill_at_the_second() -> None:
        if next(writes) == 3:
            raise Killed

    stage.fake.api.before_patch = kill_at_the_second
    with pytest.raises(Killed):
        stage.run()
    assert stage.fake.weights() != stage.edge_weights()
    stage.fake.api.before_patch = lambda: None
    assert stage.run().result == "promoted"
    assert (stage.fake.weights(), stage.edge_weights()) == ((0, 100), (0, 100))


def test_others_who_change_the_edge_end_the_release_and_keep_their_weights() -> None:
    stage = EdgeStage()

    def interfere(state: Any) -> None:
        if state.step == 1 and stage.edge_weights() != (50, 50):
            stage.set_edge(50, 50)

    outcome = stage.run(interfere)
    assert outcome.result == "undecided"
    assert "VirtualService shop/edge" in outcome.sentences[0]
    assert stage.edge_weights() == (50, 50)


def test_an_edge_with_another_share_is_refused() -> None:
    stage = EdgeStage()
    stage.set_edge(90, 10)
    with pytest.raises(BadInput, match="at the edge gives v2 10 %"):
        stage.plan()


def test_an_edge_that_changes_after_the_plan_is_refused() -> None:
    stage = EdgeStage()
    plan = stage.plan()
    stage.set_edge(99, 1)
    with pytest.raises(Conflict, match="VirtualService shop/edge"):
        stage.run(plan=plan)
    assert stage.fake.weights() == (100, 0)


def test_a_rollback_after_the_end_restores_the_edge_and_its_undo_takes_it_back() -> None:
    stage = EdgeStage()
    stage.run()
    plan = plan_rollback(stage.release.name, stage.cluster, force=True, clock=stage.clock)
    assert "VirtualService shop/edge: v1 0 -> 100, v2 100 -> 0" in str(plan)
    change = apply(plan, stage.cluster)
    assert (stage.fake.weights(), stage.edge_weights()) == ((100, 0), (100, 0))
    undo(change.id, stage.cluster)
    assert (stage.fake.weights(), stage.edge_weights()) == ((0, 100), (0, 100))


def test_a_rollback_leaves_an_edge_that_others_changed() -> None:
    stage = EdgeStage()
    stage.run()
    stage.set_edge(60, 40)
    with pytest.raises(ManualActionRequired, match="VirtualService shop/edge has since been changed"):
        plan_rollback(stage.release.name, stage.cluster, clock=stage.clock)
    assert stage.fake.weights() == (0, 100)
