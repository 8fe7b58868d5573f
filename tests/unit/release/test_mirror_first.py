"""Mirror first: the canary is judged by copies of requests before any caller waits for its answer."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import UnsupportedByMesh
from meshkit.facts import Kind
from meshkit.intent.release import MirrorFirst
from meshkit.meshes import registry
from meshkit.meshes.base import WeightedRoute
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.state.model import ReleaseState
from meshkit.testing import Behaviour
from tests.unit.release.routed import RoutedStage
from tests.unit.release.stage import BAD, GOOD, Stage, killed_at_each_write

MIRROR = MirrorFirst(percent=50, for_s=4)
QUICK: dict[str, Any] = {"steps": (50, 100), "mirror": MIRROR, "step_s": 2}


def test_copies_are_judged_first_and_end_with_the_first_share_by_one_patch() -> None:
    stage = RoutedStage(**QUICK)
    seen: list[tuple[int, frozenset[str], int]] = []

    def look(state: ReleaseState) -> None:
        if not state.ended:
            seen.append((state.step, frozenset(stage.added), stage.observer.callers_of_canary))

    outcome = stage.run(look)
    assert outcome.result == "promoted", outcome.sentences
    assert stage.weights == [(100, 0), (50, 50), (0, 100)]
    mirrored = [entry for entry in seen if entry[0] == 0]
    assert {(added, callers) for _, added, callers in mirrored} == {(frozenset({"mirror"}), 0)}
    assert len(mirrored) >= MIRROR.for_s
    assert {added for step, added, _ in seen if step == 1} == {frozenset()}
    look_of_copies = next(j for j in outcome.state.looks if j.look.step == 0 and j.look.canary.requests)
    assert look_of_copies.verdict.label == "mirrored requests"
    assert 0.3 < look_of_copies.look.canary.requests / look_of_copies.look.stable.requests < 0.7
    first = next(ops for ops in stage.fake.api.patches if ops[-1]["op"] == "remove")
    assert [op["path"] for op in first if op["op"] != "test"] == [
        "/spec/http/1/route/1/weight",
        "/spec/http/1/route/2/weight",
        "/spec/http/1/mirrors",
    ]
    assert verify_evidence(release_evidence("web-v2", stage.cluster), stage.cluster).intact


def test_a_canary_that_fails_copies_never_answers_a_caller() -> None:
    stage = RoutedStage(**QUICK, canary_behaviour=BAD)
    before = stage.rules()
    outcome = stage.run()
    assert outcome.result == "rolled_back"
    assert stage.observer.callers_of_canary == 0
    assert stage.rules() == before
    assert "copies of requests" in " ".join(outcome.sentences)
    assert verify_evidence(release_evidence("web-v2", stage.cluster)).intact


@pytest.mark.parametrize("behaviour", [GOOD, BAD])
def test_no_kill_before_or_after_a_write_leaves_the_copies(behaviour: Behaviour) -> None:
    def make() -> RoutedStage:
        return RoutedStage(
            **{**QUICK, "step_s": 1, "mirror": MirrorFirst(for_s=1)}, canary_behaviour=behaviour
        )

    for number, stage in killed_at_each_write(make):
        assert isinstance(stage, RoutedStage)
        assert stage.state.result == ("promoted" if behaviour is GOOD else "rolled_back"), number
        assert stage.added == set(), number


def test_a_mirror_of_the_users_own_stays() -> None:
    stage = RoutedStage(**QUICK)
    own = {"destination": {"host": "audit"}, "percentage": {"value": 1}}
    stage.fake.api.objects["VirtualService", "shop", "web"]["spec"]["http"][1]["mirrors"] = [own]
    stage.run_until_killed(lambda state: state.step == 0)
    assert len(stage.rules()[1]["mirrors"]) == 2
    assert stage.run().result == "promoted"
    assert stage.rules()[1]["mirrors"] == [own]


def test_linkerd_names_the_nearest_thing_that_it_can_do() -> None:
    with pytest.raises(UnsupportedByMesh, match=r"release\.mirror: Linkerd cannot do this") as refused:
        Stage("linkerd", **QUICK).plan()
    assert "testers" in refused.value.remedy


@pytest.mark.parametrize(
    ("percent", "dealt"),
    [(100, {}), (20, {"percent": 20}), (0.5, {"fraction": {"numerator": 1, "denominator": 200}})],
)
def test_an_http_route_mirrors_by_a_filter(percent: float, dealt: dict[str, Any]) -> None:
    kind = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")
    route = WeightedRoute(kind, "web", "shop", "rules", "backendRefs", ("name",), "web-v1", "web-v2")
    rule = {"backendRefs": [{"name": "web-v1", "port": 80}, {"name": "web-v2", "port": 80}]}
    planner = registry.mesh("istio").planner
    assert planner.mirror_entry(MirrorFirst(percent=percent), rule, route, 8080) == (
        "filters",
        {
            "type": "RequestMirror",
            "requestMirror": {
                "backendRef": {"group": "", "kind": "Service", "name": "web-v2", "port": 80},
                **dealt,
            },
        },
    )
