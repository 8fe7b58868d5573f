"""A/B: a cohort goes to the canary for the time of the release, and is compared with the others."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import NoData
from meshkit.intent.release import Margins, Release
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.forecast import forecast_release
from meshkit.operations.release.state.model import ReleaseState
from meshkit.testing import Behaviour
from tests.unit.release.routed import COHORT, RoutedStage
from tests.unit.release.stage import BAD, GOOD, killed_at_each_write

WIDE = Margins(error_points=5, p50_percent=100, p90_percent=150, p99_percent=200)
QUICK: dict[str, Any] = {"steps": (100,), "cohort": COHORT, "margins": WIDE}


def test_the_cohort_is_compared_without_weights_and_then_all_are_shifted() -> None:
    stage = RoutedStage(**QUICK, watch_s=3, keep_percent=5)
    seen: list[tuple[int, frozenset[str]]] = []
    labels = set()

    def look(state: ReleaseState) -> None:
        if not state.ended:
            seen.append((state.step, frozenset(stage.added)))
            if state.step == 0 and state.verdict:
                labels.add(state.verdict.label)

    outcome = stage.run(look)
    assert outcome.result == "promoted"
    assert stage.weights == [(100, 0), (5, 95), (0, 100)]
    assert {added for step, added in seen if step == 0} == {frozenset({"rule"})}
    assert {added for step, added in seen if step > 0} == {frozenset()}
    assert labels == {"cohorts not randomised"}
    told = " ".join(next(j for j in outcome.state.looks if j.look.step == 0).verdict.sentences)
    assert "not drawn at random" in told
    assert verify_evidence(release_evidence("web-v2", stage.cluster), stage.cluster).intact


def test_the_cohorts_rule_and_the_weights_change_by_one_patch() -> None:
    stage = RoutedStage(**QUICK)
    stage.run()
    promoted = [ops for ops in stage.fake.api.patches if ops[-1]["path"] != "/metadata/managedFields"][-1]
    assert [op["op"] for op in promoted if op["op"] != "test"] == ["add", "add", "remove"]


def test_a_worse_canary_loses_its_cohort() -> None:
    stage = RoutedStage(**QUICK, canary_behaviour=BAD)
    outcome = stage.run()
    assert outcome.result == "rolled_back"
    assert stage.added == set()
    assert stage.weights == [(100, 0)]
    assert "not drawn at random" in " ".join(outcome.sentences)
    assert verify_evidence(release_evidence("web-v2", stage.cluster)).intact


@pytest.mark.parametrize("behaviour", [GOOD, BAD])
def test_no_kill_before_or_after_a_write_leaves_the_rule(behaviour: Behaviour) -> None:
    def make() -> RoutedStage:
        return RoutedStage(**QUICK, canary_behaviour=behaviour, step_s=1)

    for number, stage in killed_at_each_write(make):
        assert isinstance(stage, RoutedStage)
        assert stage.state.result == ("promoted" if behaviour is GOOD else "rolled_back"), number
        assert stage.added == set(), number


def test_a_cohort_needs_no_steps_and_its_gate_is_before_the_promotion() -> None:
    release = Release(**{**_fields(), "gates": [{"name": "board"}]})
    assert release.steps == (100,)
    assert release.ladder == (0, 95, 100)
    assert [gate.name for gate in release.gates_before(1)] == ["board"]
    shared = Release(**{**_fields(), "steps": (50, 100), "testers": {"headers": {"x-tester": "yes"}}})
    assert shared.ladder == (0, 50, 95, 100)
    assert [shared.additions_at(step) for step in range(-1, 4)] == [
        ("testers",),
        ("cohort", "testers"),
        ("cohort", "testers"),
        ("testers",),
        ("testers",),
    ]


def test_shares_follow_a_cohort_that_stays_and_two_rules_come_and_go() -> None:
    fields = {**QUICK, "steps": (50, 100), "testers": {"headers": {"x-tester": "yes"}}, "step_s": 1}
    stage, counts = RoutedStage(**fields), {}

    def look(state: ReleaseState) -> None:
        if not state.ended:
            counts[state.step] = len(stage.rules())

    assert stage.run(look).result == "promoted"
    assert counts == {-1: 3, 0: 4, 1: 4, 2: 3}
    assert len(stage.rules()) == 2


def test_its_forecast_says_what_is_not_known_before_it_runs() -> None:
    with pytest.raises(NoData, match="not known"):
        forecast_release(Release(**_fields()), rps=100)


def _fields() -> dict[str, Any]:
    common = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
    return {**common, "stable": "v1", "canary": "v2", "cohort": COHORT}
