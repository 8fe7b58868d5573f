"""While a plan is applied or undone, Istio's proxies know the subset of every rule that they may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.traffic import LoadBalancing, Route, Version
from meshkit.kube.steps import Step
from meshkit.meshes.istio import planner
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE
from meshkit.meshes.istio.traffic.routes import SETTLE_S, VIRTUAL_SERVICE
from meshkit.meshes.routing.planned import after, steps_of
from tests.unit.meshes.meshed import service

SHOP = Snapshot((service("api", 8080, 9090),))
KINDS = {"DestinationRule": DESTINATION_RULE, "VirtualService": VIRTUAL_SERVICE}


def route(port: int = 8080, **split: float) -> Route:
    versions = tuple(Version(name=name) for name in split)
    return Route(namespace="shop", service="api", port=port, versions=versions, split=split)


def planned(over: Snapshot, *routes: Route) -> tuple[Step, ...]:
    return steps_of(routes, over, planner.PLANNER)


def shop(*routes: Route) -> Snapshot:
    return after(SHOP, planned(SHOP, *routes))


def subsets(obj: Mapping[str, Any] | None) -> set[str]:
    return {subset["name"] for subset in obj["spec"]["subsets"]} if obj else set()


def used(obj: Mapping[str, Any] | None) -> set[str]:
    rules = obj["spec"]["http"] if obj else ()
    return {entry["destination"]["subset"] for rule in rules for entry in rule["route"]}


def require_known(over: Snapshot, steps: Sequence[Step]) -> None:
    """Fail if a proxy that lacks the step in progress, or has it already, knows a rule without its subset."""
    state = {kind: over.find(kind, "api", "shop") for kind in KINDS}
    for step in steps:
        state[step.kind.kind] = step.object
        assert used(state["VirtualService"]) <= subsets(state["DestinationRule"]), step.title
    assert all(step.settle_s == SETTLE_S for step in steps[:-1])


CASES = {
    "the only version is replaced": ([route(v1=100)], [route(v2=100)]),
    "a version is retired": ([route(v1=50, v2=50)], [route(v2=100)]),
    "a version without requests is retired": ([route(v1=0, v2=100)], [route(v2=90, v3=10)]),
    "a version comes": ([route(v1=100)], [route(v1=90, v2=10)]),
    "two ports at once": (
        [route(8080, v1=100), route(9090, v2=100)],
        [route(8080, v3=100), route(9090, v4=100)],
    ),
    "the first of two ports": ([route(8080, v1=100), route(9090, v2=100)], [route(8080, v3=100)]),
    "one of two Routes of a plan": (
        [route(8080, v1=100), route(9090, v2=100)],
        [route(8080, v3=100), route(9090, v2=100)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_rule_has_its_subset_at_every_step(case: str) -> None:
    before, wanted = CASES[case]
    over = shop(*before)
    require_known(over, planned(over, *wanted))


@pytest.mark.parametrize("case", CASES)
def test_every_rule_has_its_subset_at_every_step_of_the_undo(case: str) -> None:
    before, wanted = CASES[case]
    over = shop(*before)
    states = {kind: [over.find(kind, "api", "shop")] for kind in KINDS}
    for step in planned(over, *wanted):
        states[step.kind.kind].append(step.object)
    for step in reversed(planned(over, *wanted)):
        states[step.kind.kind].pop()
        assert used(states["VirtualService"][-1]) <= subsets(states["DestinationRule"][-1]), step.title


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_the_past_is_left(case: str) -> None:
    before, wanted = CASES[case]
    over = shop(*before)
    left = after(over, planned(over, *wanted))
    assert subsets(left.find("DestinationRule", "api", "shop")) == used(
        left.find("VirtualService", "api", "shop")
    )
    again = planned(left, *wanted)
    assert [step.kind for step in again] == [DESTINATION_RULE, VIRTUAL_SERVICE]
    assert after(left, again) == left


def test_policies_hold_from_the_first_step_on() -> None:
    hashed = LoadBalancing(hash_header="x-user")
    wanted = route(v2=100).model_copy(update={"load_balancing": hashed})
    first, _, last = planned(shop(route(v1=100)), wanted)
    assert first.object["spec"]["trafficPolicy"] == last.object["spec"]["trafficPolicy"]
