"""Releases of a train take each step in order, and are promoted or given back together."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput, Conflict, ManualActionRequired
from meshkit.intent.train import ReleaseTrain
from meshkit.operations.change import apply
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.plan import plan_release
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.release.runner import lock_name, release_state, send_command
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.train.plan import locked, plan_train
from meshkit.operations.release.train.restoring import plan_train_rollback
from meshkit.operations.undo import undo
from tests.unit.release.stage import BAD, GOOD, Killed, killing
from tests.unit.release.train_stage import TrainStage

STEPS = (0.5, 10, 50, 100)


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_each_step_is_taken_in_order_and_all_are_promoted(mesh: str) -> None:
    stage = TrainStage(mesh)
    outcome = stage.run()
    assert (outcome.result, outcome.exit_code) == ("promoted", 0), outcome.sentences
    assert stage.moves == [(service, share) for share in STEPS for service in ("stock", "web")]
    assert [member.result for member in outcome.state.members] == ["promoted", "promoted"]


@pytest.mark.parametrize("bad", ["stock", "web"])
def test_one_bad_release_gives_all_back_the_last_one_first(bad: str) -> None:
    stage = TrainStage()

    def worse(state: object) -> None:
        if stage.shares() == (10, 10):
            stage.make_bad(bad, BAD)

    outcome = stage.run(worse)
    assert (outcome.result, outcome.exit_code) == ("rolled_back", 1)
    assert stage.moves[-2:] == [("web", 0), ("stock", 0)]
    assert [member.result for member in outcome.state.members] == ["rolled_back", "rolled_back"]
    assert f"Release {bad}-v2 of train shop-v2 was rolled back, and with it all others." in outcome.sentences


def test_a_release_waits_for_the_slowest_before_each_step() -> None:
    """With a tenth of the requests, web needs longer for ``min_requests``."""
    stage = TrainStage(min_requests=200, steps=(10, 50, 100))
    stage.observers["web"].rps = 60
    steps, apart = {"stock": -1, "web": -1}, set[int]()

    def seen(state: ReleaseState) -> None:
        steps[state.release.service] = state.step
        apart.add(steps["stock"] - steps["web"])

    assert stage.run(seen).result == "promoted"
    assert apart == {0, 1}
    assert stage.moves == [(service, share) for share in (10, 50, 100) for service in ("stock", "web")]


def test_a_killed_train_is_resumed_with_the_same_verdicts() -> None:
    """Killed just before, or just after, some of its writes of a route."""
    whole = TrainStage(steps=(10, 100))
    outcome = whole.run()
    for number in range(1, 2 * len(whole.fake.api.patches), 3):
        stage = TrainStage(steps=(10, 100))
        real = stage.fake.api.json_patch
        stage.fake.api.json_patch = killing(real, number)  # type: ignore[method-assign]
        with pytest.raises(Killed):
            stage.run()
        stage.fake.api.json_patch = real  # type: ignore[method-assign]
        again = stage.run()
        assert again.result == outcome.result, number
        assert stage.shares() == (100, 100)
        assert again.change_id == stage.state.change_id
    assert verified(stage)


def test_a_train_that_is_killed_while_it_gives_back_goes_on_with_it() -> None:
    """Also where the next process finds the bad version good again."""
    stage = TrainStage(steps=(10, 100))

    def worse(state: ReleaseState) -> None:
        if stage.shares() == (10, 10):
            stage.make_bad("stock", BAD)
        if state.release.service == "web" and state.ended:
            raise Killed

    with pytest.raises(Killed):
        stage.run(worse)
    assert stage.shares() == (10, 0)
    assert stage.state.status == "giving back"
    stage.make_bad("stock", GOOD)
    outcome = stage.run()
    assert outcome.result == "rolled_back"
    assert stage.shares() == (0, 0)
    assert verified(stage)


def test_commands_go_to_the_train_and_not_to_its_releases() -> None:
    stage = TrainStage(steps=(10, 100), step_s=20)
    refused: list[str] = []

    def tell(state: ReleaseState) -> None:
        if refused or stage.shares() != (10, 10):
            return
        for verb in ("hold", "resume", "promote", "rollback"):
            with pytest.raises(BadInput, match="member of train shop-v2") as found:
                send_command("web-v2", verb, stage.cluster)
            assert f"meshkit release {verb} shop-v2" in found.value.remedy
            refused.append(verb)
        send_command("shop-v2", "rollback", stage.cluster)

    outcome = stage.run(tell)
    assert (outcome.result, len(refused)) == ("rolled_back", 4)
    assert stage.moves[-2:] == [("web", 0), ("stock", 0)]
    assert "Rolled back by ana." in outcome.sentences
    for call in (plan_rollback, lambda name, cluster: undo(stage.state.members[1].change_id, cluster)):
        with pytest.raises(BadInput, match="member of train shop-v2"):
            call("web-v2", stage.cluster)
    with pytest.raises(BadInput, match="has ended: rolled back"):
        send_command("shop-v2", "hold", stage.cluster)


def test_a_train_is_held_and_promoted_as_a_whole() -> None:
    stage = TrainStage(steps=(10, 50, 100), step_s=10)
    told: list[str] = []

    def tell(state: ReleaseState) -> None:
        if not told and stage.shares() == (10, 10):
            send_command("shop-v2", "hold", stage.cluster)
            told.append("hold")
        elif told == ["hold"] and all(member.held for member in stage.state.members):
            send_command("shop-v2", "promote", stage.cluster)
            told.append("promote")

    assert stage.run(tell).result == "promoted"
    assert stage.moves == [("stock", 10), ("web", 10), ("stock", 100), ("web", 100)]


def test_weights_that_others_changed_are_left_alone_and_the_rest_is_given_back() -> None:
    stage = TrainStage(steps=(10, 100))

    def interfere(state: ReleaseState) -> None:
        if stage.shares() == (10, 10) and state.agreed_s is not None:
            stage.routes["web"].set_weights(70, 30)

    outcome = stage.run(interfere)
    assert (outcome.result, outcome.exit_code) == ("undecided", 3)
    assert stage.shares() == (0, 30)


def test_a_train_is_undone_in_reverse_unless_others_have_changed_a_weight() -> None:
    stage = TrainStage(steps=(10, 100))
    outcome = stage.run()
    stage.routes["stock"].set_weights(20, 80)
    with pytest.raises(ManualActionRequired, match="changed by others: it has 80 % for v2"):
        undo(outcome.change_id, stage.cluster)
    assert stage.shares() == (80, 100)
    stage.routes["stock"].set_weights(0, 100)
    undo(outcome.change_id, stage.cluster)
    assert stage.shares() == (0, 0)
    assert stage.state.status == "rolled_back"
    with pytest.raises(BadInput, match="already undone"):
        undo(outcome.change_id, stage.cluster)


def test_a_promoted_train_is_rolled_back_while_its_stable_versions_have_pods() -> None:
    stage = TrainStage(steps=(10, 100))
    stage.run()
    with pytest.raises(ManualActionRequired, match="no ready pod"):
        plan_train_rollback("shop-v2", stage.cluster)
    apply(plan_train_rollback("shop-v2", stage.cluster, force=True), stage.cluster)
    assert stage.shares() == (0, 0)
    assert plan_train_rollback("shop-v2", stage.cluster).empty


def test_a_train_that_nobody_runs_is_ended_by_force_even_if_records_of_it_are_gone() -> None:
    stage = TrainStage(steps=(10, 100))
    state = stage.run_until_killed(lambda _: stage.shares() == (10, 10))
    with pytest.raises(BadInput, match="no process runs it"):
        plan_train_rollback("shop-v2", stage.cluster, clock=stage.clock)
    objects = stage.fake.api.objects
    for name in [key for key in objects if f"change-{state.members[0].change_id}" in key[2]]:
        del objects[name]
    apply(plan_train_rollback("shop-v2", stage.cluster, force=True, clock=stage.clock), stage.cluster)
    assert stage.shares() == (0, 0)
    assert [member.result for member in stage.state.members] == ["rolled_back", "rolled_back"]


def test_a_member_is_not_run_alone_and_a_train_not_with_other_settings() -> None:
    stage = TrainStage(steps=(10, 100))
    stage.run_until_killed(lambda _: stage.shares() == (10, 10))
    with pytest.raises(BadInput, match="member of train shop-v2"):
        plan_release(stage.train.releases[1], stage.cluster, mesh=stage.mesh)
    other = stage.train.model_copy(update={"releases": stage.train.releases[::-1]})
    with pytest.raises(BadInput, match="already running with other settings"):
        plan_train(other, stage.cluster, mesh=stage.mesh)
    with pytest.raises(BadInput, match="is a train of 2 releases"):
        release_state("shop-v2", stage.cluster)


def test_two_trains_that_share_services_take_their_locks_in_the_same_order() -> None:
    stage = TrainStage()
    taken: list[list[str]] = []
    for releases in (stage.train.releases, stage.train.releases[::-1]):
        train = ReleaseTrain(name="other", releases=releases)
        with locked(train, stage.cluster, stage.clock) as locks:
            taken.append(list(locks))
            with pytest.raises(Conflict), locked(stage.train, stage.cluster, stage.clock):
                pass
    assert taken == [["stock-v2", "web-v2"]] * 2


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        ({"name": "stock-v2"}, r"release_train.releases\[1\].name", "that of another release"),
        ({"name": "shop-v2"}, r"release_train.releases\[1\].name", "that of the train"),
        ({"service": "stock"}, r"release_train.releases\[1\].service", "that of another release"),
        ({"steps": (5, 100)}, r"release_train.releases\[1\].steps", "its shares are 5, 95, 100 %"),
        ({"on_harm": "freeze"}, r"release_train.releases\[1\].on_harm", "none of them can freeze"),
    ],
)
def test_releases_that_cannot_go_together_are_refused(
    change: dict[str, Any], where: str, problem: str
) -> None:
    common = {"namespace": "shop", "port": 8080, "stable": "v1", "canary": "v2"}
    releases = [{"name": f"{name}-v2", "service": name, **common} for name in ("stock", "web")]
    with pytest.raises(BadInput, match=f"{where}.*{problem}"):
        ReleaseTrain(name="shop-v2", releases=(releases[0], {**releases[1], **change}))


def verified(stage: TrainStage) -> bool:
    """Whether every record of every release follows from those before it."""
    return all(verify_evidence(release_evidence(each, stage.cluster)).intact for each in stage.train.names)


def test_a_train_whose_end_alone_was_not_recorded_is_ended_by_the_next_process() -> None:
    """Even if its own records are gone: those of its releases say how it ended."""
    stage = TrainStage(steps=(10, 100))

    def kill(state: ReleaseState) -> None:
        if all(member.ended for member in stage.state.members):
            raise Killed

    with pytest.raises(Killed):
        stage.run(kill)
    assert stage.state.status == "promoting"
    objects = stage.fake.api.objects
    for name in [key for key in objects if f"change-{stage.state.change_id}" in key[2]]:
        del objects[name]
    assert stage.run().result == "promoted"
    assert stage.state.status == "promoted"


def test_a_process_that_lost_its_lease_writes_nothing_more() -> None:
    """Another one has taken the train up meanwhile; what the first would decide does not count."""
    stage = TrainStage(steps=(10, 100))

    def taken_up(state: ReleaseState) -> None:
        if stage.shares() != (10, 10):
            return
        for release in stage.train.releases:
            lease = stage.fake.api.objects["Lease", "meshkit-system", lock_name(release)]
            lease["spec"] |= {"holderIdentity": "another", "leaseTransitions": 7}
            lease["metadata"]["resourceVersion"] = "0"

    with pytest.raises(Conflict, match="is held by another"):
        stage.run(taken_up)
    assert stage.shares() == (10, 10)
    assert not stage.state.ended
