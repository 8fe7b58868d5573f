"""Notices of a release: Kubernetes Events and a webhook tell every transition, and stop nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from meshkit.cluster.journal import Journal
from meshkit.errors import Forbidden, NoData, ReleaseLost
from meshkit.facts import Kind, Object
from meshkit.operations.change import apply
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.gates.approval import approve_gate
from meshkit.operations.release.notices.sender import Sender
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.release.runner import send_command
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.undo import undo
from tests.unit.release.hooks import PATH, serving
from tests.unit.release.stage import BAD, Stage

EVENT = Kind("v1", "Event")
NOTIFY = {"name": "hook"}


def events(stage: Stage, kind: str = "Service") -> list[Object]:
    return [each for each in stage.fake.api.list(EVENT, "shop") if each["involvedObject"]["kind"] == kind]


def reasons(stage: Stage, kind: str = "Service") -> list[str]:
    return [each["reason"].removeprefix("Release") for each in events(stage, kind)]


def notes(state: ReleaseState) -> list[str]:
    return [event.text for event in state.events if event.kind == "note"]


def with_workload(stage: Stage) -> Stage:
    """The canary has a Deployment, whose pods the Service selects."""
    template = {"metadata": {"labels": {"app": "web", "version": "v2"}}}
    meta = {"name": "web-v2", "namespace": "shop", "uid": "7"}
    stage.fake.api.objects["Service", "shop", "web"]["spec"]["selector"] = {"app": "web"}
    stage.fake.api.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}}
    )
    return stage


def test_every_transition_is_an_event_on_the_service_and_on_the_canarys_workload() -> None:
    stage = with_workload(Stage(gates=[{"name": "approval", "before": 50}], look_s=3, step_s=3, rps=100))

    def command(state: ReleaseState) -> None:
        if state.step == 0 and not state.last_command:
            send_command("web-v2", "hold", stage.cluster)
        elif state.held:
            send_command("web-v2", "resume", stage.cluster)
        elif state.status == "waiting":
            approve_gate("web-v2", stage.cluster, why="looked")

    assert stage.run(command).result == "promoted"
    told = [
        "Started",
        "Step",
        "Held",
        "Resumed",
        "Step",
        "GateWaits",
        "GateApproved",
        "Step",
        "Step",
        "Promoted",
    ]
    assert reasons(stage) == told
    assert reasons(stage, "Deployment") == told
    event = events(stage, "Deployment")[5]
    assert event["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web-v2",
        "namespace": "shop",
        "uid": "7",
    }
    assert event["type"] == "Normal"
    assert "meshkit release approve web-v2 --gate approval" in event["message"]
    assert notes(stage.state) == []


def test_a_rollback_is_a_warning() -> None:
    stage = Stage(canary_behaviour=BAD)
    stage.run()
    last = events(stage)[-1]
    assert (last["reason"], last["type"]) == ("ReleaseRolledBack", "Warning")
    assert last["message"].startswith("Release web-v2: ")


def test_a_runner_that_takes_over_says_so() -> None:
    stage = Stage(look_s=3, rps=100)
    stage.run_until_killed(lambda state: state.step == 1)
    stage.run()
    assert "Continued" in reasons(stage)
    assert reasons(stage).count("Started") == 1


def test_a_release_that_is_lost_is_told() -> None:
    stage = Stage(look_s=3, rps=100)

    def lose(state: ReleaseState) -> None:
        if state.step == 1:
            objects = stage.fake.api.objects
            for key in [key for key in objects if key[0] == "ConfigMap"]:
                del objects[key]

    with pytest.raises(ReleaseLost):
        stage.run(lose)
    assert reasons(stage)[-1] == "Lost"


def test_a_rollback_after_the_end_is_told() -> None:
    stage = Stage(look_s=3, rps=100)
    stage.run()
    apply(plan_rollback("web-v2", stage.cluster, force=True, clock=stage.clock), stage.cluster)
    assert reasons(stage)[-2:] == ["Promoted", "RolledBack"]


def test_an_undo_is_told_and_so_is_the_undo_of_a_rollback() -> None:
    stage = Stage(look_s=3, rps=100)
    outcome = stage.run()
    back = apply(plan_rollback("web-v2", stage.cluster, force=True, clock=stage.clock), stage.cluster)
    undo(back, stage.cluster)
    undo(outcome.change_id, stage.cluster)
    assert reasons(stage)[-4:] == ["Promoted", "RolledBack", "TakenAgain", "Undone"]
    assert "ana undid its rollback" in events(stage)[-2]["message"]
    assert events(stage)[-1]["message"].startswith("Release web-v2: undone by ")


def test_a_rollback_after_the_records_were_lost_is_told() -> None:
    stage = Stage(look_s=3, rps=100)
    stage.run_until_killed(lambda state: state.step == 1)
    stage.clock.sleep(60)
    for key in [key for key in stage.fake.api.objects if key[0] == "ConfigMap" and "change-" in key[2]]:
        del stage.fake.api.objects[key]
    apply(plan_rollback("web-v2", stage.cluster, force=True, clock=stage.clock), stage.cluster)
    assert reasons(stage)[-1] == "RolledBack"


def test_a_webhook_is_told_of_an_undo() -> None:
    with serving((200, "ok")) as hook:
        stage = Stage(look_s=3, rps=100, notify=NOTIFY)
        hook.secret_in(stage)
        undo(stage.run().change_id, stage.cluster)
    assert [body["event"] for body in hook.bodies[-2:]] == ["promoted", "undone"]


def test_without_the_right_to_write_events_a_release_runs_and_says_so_once() -> None:
    stage = Stage(look_s=3, rps=100)
    create = stage.fake.api.create

    def refused(obj: Any) -> Any:
        if obj["kind"] == "Event":
            raise Forbidden("ana may not create events in shop.", remedy="", status=403)
        return create(obj)

    stage.fake.api.create = refused  # type: ignore[method-assign]
    stage.fake.api.denied = {"create events"}
    assert "No Events about it are written: this account may not create events in shop" in stage.plan().text(
        forecast=False
    )
    outcome = stage.run()
    assert outcome.result == "promoted"
    assert notes(outcome.state) == ["Events are not written: ana may not create events in shop."]


def test_a_webhook_is_told_every_transition_in_order_and_its_address_is_nowhere() -> None:
    stage = Stage(notify=NOTIFY, look_s=3, rps=100)
    with serving((200, "ok")) as hook:
        hook.secret_in(stage)
        outcome = stage.run()
        port = str(hook.server_port)
    assert [body["event"] for body in hook.bodies] == ["started", "step", "step", "step", "step", "promoted"]
    assert [body["percent"] for body in hook.bodies] == [0.0, 0.5, 10.0, 50.0, 100.0, 100.0]
    first = hook.bodies[0]
    assert (first["release"], first["namespace"], first["canary"], first["who"]) == (
        "web-v2",
        "shop",
        "v2",
        "ana",
    )
    assert first["change"] == outcome.change_id
    records = json.dumps(Journal(stage.cluster).records(outcome.change_id))
    for text in (records, release_evidence("web-v2", stage.cluster), str(outcome), json.dumps(events(stage))):
        assert PATH not in text
        assert f":{port}" not in text


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (None, "Secret shop/hook does not exist"),
        ({}, "Secret shop/hook has no key url"),
        ({"url": "%%%"}, "url of Secret shop/hook is no address of a webhook"),
        ({"url": "ZmlsZTovLy9ldGMvcGFzc3dk"}, "url of Secret shop/hook is no address of a webhook"),
    ],
)
def test_a_webhook_without_an_address_stops_nothing_and_is_told(
    secret: dict[str, str] | None, why: str
) -> None:
    stage = Stage(notify=NOTIFY, look_s=3, rps=100)
    if secret is not None:
        meta = {"name": "hook", "namespace": "shop"}
        stage.fake.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": secret})
    outcome = stage.run()
    assert outcome.result == "promoted"
    assert len(notes(outcome.state)) == 1
    assert why in notes(outcome.state)[0]


def test_the_right_to_read_the_secret_is_asked_for_before_anything_is_written() -> None:
    stage = Stage(notify=NOTIFY, look_s=3, rps=100)
    stage.fake.api.denied = {"get secrets"}
    with pytest.raises(Forbidden, match="get secrets in shop"):
        stage.run()


# The sender


def sender(post: Callable[[str, Any], bytes]) -> tuple[Sender, list[float]]:
    slept: list[float] = []
    return Sender(post, sleep=slept.append), slept


def test_a_notice_that_fails_is_posted_again_before_the_next_one() -> None:
    seen: list[str] = []

    def post(address: str, body: Any) -> bytes:
        seen.append(body["event"])
        if len(seen) < 3:
            raise NoData("the webhook answered with status 503.", remedy="")
        return b""

    sending, slept = sender(post)
    sending.send("address", {"event": "started"})
    sending.send("address", {"event": "step"})
    sending.close(10)
    assert seen == ["started", "started", "started", "step"]
    assert slept == [1.0, 4.0]
    assert sending.problems() == []


def test_a_notice_that_always_fails_is_given_up_and_its_address_is_not_told() -> None:
    def post(address: str, body: Any) -> bytes:
        raise cast(Exception, ValueError(f"unknown url type: {address}"))

    sending, _ = sender(post)
    sending.send("address", {"event": "started"})
    sending.close(10)
    assert sending.problems() == ["The notice 'started' was given up: it could not be posted."]


def test_a_webhook_that_is_slow_is_not_waited_for_beyond_the_given_time() -> None:
    import threading

    let_go = threading.Event()

    def post(address: str, body: Any) -> bytes:
        let_go.wait(30)
        return b""

    sending, _ = sender(post)
    sending.send("address", {"event": "started"})
    sending.close(0.05)
    assert sending.problems() == ["The webhook of notices is slow: the last notices may not have arrived."]
    let_go.set()
    sending._thread.join()  # type: ignore[union-attr]
