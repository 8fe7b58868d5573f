"""Give the requests back after a release has ended, or after its records were deleted."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster.journal import NAMESPACE, Journal
from meshkit.errors import BadInput, ManualActionRequired, ReleaseLost, UnknownName
from meshkit.operations.change import apply, history
from meshkit.operations.release.listing import LOST, releases
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.release.runner import release_state, send_command
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.undo import undo
from tests.unit.release.fake_api import OWNER
from tests.unit.release.stage import BAD, Stage, ready_pod


def promoted(mesh: str = "istio") -> Stage:
    stage = Stage(mesh)
    assert stage.run().result == "promoted"
    return stage


def roll_back(stage: Stage, **options: Any) -> str:
    release = options.pop("release", "web-v2")
    plan = plan_rollback(release, stage.cluster, mesh=stage.mesh, clock=stage.clock, **options)
    return apply(plan, stage.cluster).id


def delete_records(stage: Stage, *kinds: str) -> None:
    """Delete ConfigMaps of the journal: ``change-`` and ``release-`` are the prefixes of their names."""
    objects = stage.fake.api.objects
    for key in [key for key in objects if key[1] == NAMESPACE and key[2].startswith(kinds)]:
        del objects[key]


def test_the_traffic_of_a_promoted_release_is_given_back_and_taken_again() -> None:
    stage = promoted()
    stage.fake.api.create(ready_pod("v1"))
    change = roll_back(stage)
    assert stage.fake.weights() == (100, 0)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]
    assert (stage.state.status, stage.state.asked_percent) == ("rolled_back", 0)
    assert stage.state.sentences[0].startswith("The release was rolled back after its end by ana")
    listed = {one.id: (one.operation.name, one.state) for one in history(stage.cluster)}
    assert listed[change] == ("release rollback", "done")
    undo(change, stage.cluster)
    assert stage.fake.weights() == (0, 100)
    assert (stage.state.status, stage.state.asked_percent) == ("promoted", 100)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]


def test_nothing_is_given_back_to_a_version_without_ready_pods() -> None:
    stage = promoted()
    template = {"metadata": {"labels": {"app": "web", "version": "v1"}}}
    meta = {"name": "web-v1", "namespace": "shop"}
    spec = {"replicas": 0, "template": template}
    stage.fake.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    with pytest.raises(ManualActionRequired, match="v1 of shop/web has no ready pod") as refused:
        roll_back(stage)
    assert "kubectl -n shop scale deployment/web-v1 --replicas=N" in refused.value.remedy
    assert stage.fake.weights() == (0, 100)
    roll_back(stage, force=True)
    assert stage.fake.weights() == (100, 0)


def test_a_release_that_has_its_weights_back_needs_no_rollback() -> None:
    stage = Stage(canary_behaviour=BAD)
    stage.run()
    assert plan_rollback("web-v2", stage.cluster).empty
    send_command("web-v2", "rollback", stage.cluster)
    assert len(history(stage.cluster)) == 1


def test_weights_that_others_changed_after_the_end_are_left_alone() -> None:
    stage = promoted()
    stage.fake.api.create(ready_pod("v1"))
    stage.fake.set_weights(30, 70)
    with pytest.raises(ManualActionRequired, match="changed by others: the canary gets 70 %"):
        roll_back(stage)
    assert stage.fake.weights() == (30, 70)


@pytest.mark.parametrize("verb", ["hold", "resume", "promote", "rollback"])
def test_a_command_to_a_promoted_release_names_the_way_that_works(verb: Any) -> None:
    stage = promoted()
    with pytest.raises(BadInput, match="release web-v2 has ended: promoted") as refused:
        send_command("web-v2", verb, stage.cluster)
    assert "'meshkit release rollback web-v2' gives the requests back to v1" in refused.value.remedy


def test_a_release_whose_process_has_died_is_ended_here_and_now_by_force() -> None:
    stage = Stage()
    stage.run_until_killed(lambda state: state.step == 1)
    with pytest.raises(BadInput, match="has not ended, but no process runs it"):
        roll_back(stage)
    roll_back(stage, force=True)
    assert stage.fake.weights() == (100, 0)
    assert (stage.state.status, stage.state.sentences) == ("rolled_back", ("Rolled back by ana.",))


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_records_that_are_deleted_in_mid_release_need_a_person_and_name_the_weights(mesh: str) -> None:
    stage = Stage(mesh)

    def delete(state: ReleaseState) -> None:
        if state.step == 2:
            delete_records(stage, "change-", "release-")

    with pytest.raises(ReleaseLost, match="v2 gets 50 %, and no process watches it") as lost:
        stage.run(delete)
    assert lost.value.exit_code == 4
    assert "'meshkit release rollback web-v2' gives the requests back to v1" in lost.value.remedy
    assert stage.fake.weights() == (50, 50)
    for use in (lambda: release_state("web-v2", stage.cluster), stage.run, lambda: commanded(stage)):
        with pytest.raises(ReleaseLost, match="v2 gets 50 %"):
            use()
    assert [(one.state, one.percent) for one in releases(stage.cluster)] == [(LOST, 50)]
    roll_back(stage, force=True)
    assert stage.fake.weights() == (100, 0)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]
    assert stage.run().result == "promoted", "the release can be run again"


def commanded(stage: Stage) -> None:
    send_command("web-v2", "hold", stage.cluster)


def test_with_nothing_left_in_the_cluster_the_file_says_what_to_restore() -> None:
    stage = Stage()
    stage.run_until_killed(lambda state: state.step == 2)
    delete_records(stage, "change-", "release-")
    with pytest.raises(UnknownName):
        roll_back(stage, force=True)
    with pytest.raises(BadInput, match="'meshkit release rollback -f FILE'"):
        stage.plan()
    weights = apply_by_file(stage)
    assert weights == (100, 0)
    assert stage.run().result == "promoted"


def apply_by_file(stage: Stage) -> tuple[int, int]:
    roll_back(stage, release=stage.release, force=True)
    return stage.fake.weights()


def test_a_file_restores_nothing_where_no_release_has_moved_the_weights() -> None:
    stage = Stage()
    stage.fake.set_weights(80, 20)
    with pytest.raises(BadInput, match="no release has moved the weights"):
        plan_rollback(stage.release, stage.cluster, mesh="istio", force=True)
    assert stage.fake.weights() == (80, 20)


def test_records_that_are_deleted_after_the_end_leave_its_result() -> None:
    stage = promoted()
    delete_records(stage, "change-")
    assert (stage.state.status, stage.state.asked_percent) == ("promoted", 100)
    assert [one.state for one in releases(stage.cluster)] == ["promoted"]


def test_a_deleted_part_of_the_records_is_not_read_over() -> None:
    stage = Stage()
    state = stage.run_until_killed(lambda state: state.step == 1)
    parts = {key[2]: key for key in stage.fake.api.objects if key[2].startswith(f"change-{state.change_id}-")}
    assert f"change-{state.change_id}-1" in parts
    del stage.fake.api.objects[parts[f"change-{state.change_id}-0"]]
    with pytest.raises(ReleaseLost):
        release_state("web-v2", stage.cluster)


@pytest.mark.parametrize("gone", ["release-web-v2", "Lease"])
def test_a_running_release_restores_its_mailbox_and_its_lease(gone: str) -> None:
    stage = Stage()

    def delete(state: ReleaseState) -> None:
        if state.step == 1 and len(state.step_looks) == 1:
            objects = stage.fake.api.objects
            for key in [key for key in objects if gone in (key[2], key[0])]:
                del objects[key]

    assert stage.run(delete).result == "promoted"
    assert stage.state.status == "promoted"
    assert len(Journal(stage.cluster).changes()) == 1


def test_a_release_that_is_held_before_its_first_step_begins_after_the_hold() -> None:
    stage = Stage(baseline_s=10)

    def command(state: ReleaseState) -> None:
        if len(state.looks) == 2:
            send_command("web-v2", "hold", stage.cluster)
        elif state.held and len(state.looks) == 30:
            send_command("web-v2", "resume", stage.cluster)

    assert stage.run(command).result == "promoted"


def test_every_release_of_a_cluster_is_listed_newest_first() -> None:
    stage = Stage(canary_behaviour=BAD)
    stage.run()
    stage.release = stage.release.model_copy(update={"name": "web-v2-again"})
    stage.run_until_killed(lambda state: state.step == 0)
    running, ended = releases(stage.cluster)
    assert (running.name, running.state, running.ended) == ("web-v2-again", "shifting", False)
    assert (ended.name, ended.state, ended.percent, ended.who) == ("web-v2", "rolled back", 0, "ana")
