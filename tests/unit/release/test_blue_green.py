"""Blue/green: all requests at once, after checks; the old version stays for an instant return."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster.journal import Journal
from meshkit.errors import BadInput
from meshkit.intent.release import Release
from meshkit.operations.release.evidence_bundle.bundle import chain, release_evidence, text_of
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.state.model import ReleaseState
from meshkit.testing import Behaviour
from tests.unit.release.routed import COHORT, RoutedStage
from tests.unit.release.stage import BAD, GOOD, killed_at_each_write

QUICK: dict[str, Any] = {"steps": (100,), "testers": COHORT, "step_s": 3}


def test_all_requests_are_shifted_once_and_watched() -> None:
    stage = RoutedStage(**QUICK, watch_s=4)
    outcome = stage.run()
    assert outcome.result == "promoted", outcome.sentences
    assert stage.weights == [(100, 0), (0, 100)]
    assert outcome.state.ended_s is not None
    shifted = [event.at_s for event in outcome.state.events if event.kind == "weights"][-1]
    assert outcome.state.ended_s - shifted >= 4
    assert stage.added == set()
    assert verify_evidence(release_evidence("web-v2", stage.cluster), stage.cluster).intact


def test_testers_that_fail_keep_the_canary_from_everybody_else() -> None:
    stage = RoutedStage(**QUICK, canary_behaviour=BAD)
    outcome = stage.run()
    assert outcome.result == "rolled_back"
    assert stage.weights == [(100, 0)]
    assert stage.added == set()


def test_decay_after_the_shift_returns_all_requests_by_one_patch() -> None:
    stage = RoutedStage(**QUICK, watch_s=600)

    def decay(state: ReleaseState) -> None:
        if state.step == 1 and len(state.step_looks) == 3:
            stage.observer.behaviours["v2"] = BAD

    outcome = stage.run(decay)
    assert outcome.result == "rolled_back"
    assert stage.weights == [(100, 0), (0, 100), (100, 0)]
    assert verify_evidence(release_evidence("web-v2", stage.cluster)).intact


def test_it_waits_for_as_many_ready_pods_as_stable_has() -> None:
    stage = RoutedStage(**QUICK, ready=1)
    waited = []

    def look(state: ReleaseState) -> None:
        waited.extend(event.text for event in state.events if "ready pods" in event.text)
        if waited:
            stage.set_pod("v2", 1)

    outcome = stage.run(look)
    assert outcome.result == "promoted"
    assert waited[0] == "All requests wait until v2 has as many ready pods as v1: 1 of 2."
    assert stage.weights == [(100, 0), (0, 100)]


def test_a_shift_without_enough_ready_pods_is_found_in_the_evidence() -> None:
    stage = RoutedStage(**QUICK)
    stage.run()
    records = [
        {**record, "ready": [2, 1]} if record.get("ready") else record
        for record in Journal(stage.cluster).records(stage.state.change_id)
    ]
    found = verify_evidence(text_of("web-v2", stage.state.change_id, chain(records)))
    assert "without enough ready pods" in " ".join(found.problems)


@pytest.mark.parametrize("behaviour", [GOOD, BAD])
def test_no_kill_before_or_after_a_write_leaves_anything(behaviour: Behaviour) -> None:
    def make() -> RoutedStage:
        return RoutedStage(**{**QUICK, "step_s": 1}, canary_behaviour=behaviour)

    for number, stage in killed_at_each_write(make):
        assert isinstance(stage, RoutedStage)
        assert stage.state.result == ("promoted" if behaviour is GOOD else "rolled_back"), number
        assert stage.added == set(), number


def test_something_is_judged_before_all_requests() -> None:
    common = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
    with pytest.raises(BadInput, match="nothing is judged before all requests"):
        Release(**common, stable="v1", canary="v2", steps=(100,))
    mirrored = Release(**common, stable="v1", canary="v2", steps=(100,), mirror={"percent": 10})
    assert mirrored.ladder == (0, 100)
    assert mirrored.lead_in == ("mirror",)
