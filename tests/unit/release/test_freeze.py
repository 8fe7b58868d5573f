"""``on_harm: freeze``: a worse canary keeps its share until a person decides, and nobody else does."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.runner import send_command
from meshkit.operations.release.state.model import ReleaseState
from tests.unit.release.stage import BAD, GOOD, Stage


def frozen_stage(**fields: Any) -> Stage:
    return Stage(canary_behaviour=BAD, on_harm="freeze", rps=100, **fields)


def verified(stage: Stage) -> None:
    found = verify_evidence(release_evidence("web-v2", stage.cluster), stage.cluster)
    assert found.intact, found


def decided(stage: Stage, verb: Any, looks: int) -> tuple[Any, list[ReleaseState]]:
    """Run the release; a person sends a command after that many looks in the freeze."""
    seen: list[ReleaseState] = []

    def command(state: ReleaseState) -> None:
        if state.frozen:
            seen.append(state)
            if len(seen) == looks:
                send_command("web-v2", verb, stage.cluster)

    return stage.run(command), seen


def test_a_worse_canary_keeps_its_share_beyond_the_deadline_until_a_person_rolls_back() -> None:
    stage = frozen_stage(deadline_s=40, look_s=3)
    outcome, seen = decided(stage, "rollback", 20)
    assert outcome.result == "rolled_back"
    assert stage.weights == [(100, 0), (995, 5), (100, 0)]
    assert {state.status for state in seen} == {"frozen"}
    assert seen[0].sentences[0] == "Frozen: v2 is worse and keeps 0.5 % until a person decides."
    assert "'meshkit release rollback web-v2' or 'meshkit release promote web-v2'" in seen[0].sentences[1]
    texts = " ".join(seen[-1].sentences)
    assert "frozen" in texts
    assert "rolled back" not in texts
    assert "v1 serves all requests" not in texts
    frozen = [event for event in stage.state.events if "frozen" in event.text]
    assert len(frozen) == 1
    verified(stage)


def test_a_freeze_is_told_as_a_warning_once() -> None:
    stage = frozen_stage()
    decided(stage, "rollback", 5)
    events = stage.fake.api.list(Kind("v1", "Event"), "shop")
    told = [(each["reason"], each["type"]) for each in events]
    assert told == [
        ("ReleaseStarted", "Normal"),
        ("ReleaseStep", "Normal"),
        ("ReleaseFrozen", "Warning"),
        ("ReleaseRolledBack", "Warning"),
    ]


def test_a_person_may_promote_what_is_frozen() -> None:
    stage = frozen_stage()

    def command(state: ReleaseState) -> None:
        if state.frozen:
            stage.observer.behaviours["v2"] = GOOD
            send_command("web-v2", "promote", stage.cluster)

    outcome = stage.run(command)
    assert outcome.result == "promoted"
    assert stage.weights == [(100, 0), (995, 5), (0, 100)]
    verified(stage)


def test_what_is_frozen_again_with_all_requests_ends_by_a_second_promote() -> None:
    stage = frozen_stage(watch_s=60)

    def command(state: ReleaseState) -> None:
        if state.frozen:
            send_command("web-v2", "promote", stage.cluster)

    outcome = stage.run(command)
    assert outcome.result == "promoted"
    assert outcome.sentences[0] == "Promoted by ana although it is worse."
    assert stage.fake.weights() == (0, 100)
    verified(stage)


def test_resume_does_not_end_a_freeze_while_the_canary_is_worse() -> None:
    stage = frozen_stage()
    stage.run_until_killed(lambda state: state.frozen and len(state.step_looks) > 8)
    with pytest.raises(BadInput, match="v2 is still worse, so release web-v2 stays frozen"):
        send_command("web-v2", "resume", stage.cluster)


def test_a_runner_that_takes_over_keeps_the_freeze() -> None:
    stage = frozen_stage()
    stage.run_until_killed(lambda state: state.frozen)
    outcome, seen = decided(stage, "rollback", 3)
    assert outcome.result == "rolled_back"
    assert len(seen) >= 3
    assert stage.weights == [(100, 0), (995, 5), (100, 0)]


def test_weights_that_others_change_during_a_freeze_are_theirs() -> None:
    stage = frozen_stage()

    def others(state: ReleaseState) -> None:
        if state.frozen:
            stage.fake.set_weights(70, 30)

    outcome = stage.run(others)
    assert outcome.result == "undecided"
    assert "Someone else changed" in outcome.sentences[0]
    assert stage.fake.weights() == (70, 30)
