"""Gates: who opens them and why is recorded, they expire to a safe state, and the safety net stays on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshkit.cluster.journal import Journal
from meshkit.errors import BadInput, Forbidden, UnknownName
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.gates.approval import approve_gate
from meshkit.operations.release.runner import Outcome, send_command
from meshkit.operations.release.state.model import ReleaseState
from tests.unit.release.hooks import PATH, Hook, serving
from tests.unit.release.stage import BAD, Stage

APPROVAL = {"name": "approval", "before": 50}


def gated(**fields: Any) -> Stage:
    """A release with one gate before 50 %, with few looks."""
    return Stage(gates=[{**APPROVAL, **fields}], look_s=3, step_s=3, rps=100)


def waits(state: ReleaseState, looks: int = 1) -> bool:
    return state.status == "waiting" and len(state.step_looks) >= looks


def waited_s(state: ReleaseState) -> float:
    """How long the gate has been waited for."""
    return state.looks[-1].look.end_s - state.gates[0].since_s if state.gates else 0.0


def when(holds: Callable[[ReleaseState], bool], act: Callable[[], object]) -> Callable[[ReleaseState], None]:
    """Act once, at the first look that fits."""
    done: list[bool] = []

    def look(state: ReleaseState) -> None:
        if not done and holds(state):
            done.append(True)
            act()

    return look


def verified(stage: Stage) -> str:
    """The evidence of the release, which is intact."""
    text = release_evidence("web-v2", stage.cluster)
    found = verify_evidence(text, stage.cluster)
    assert found.intact, found
    return text


def test_a_step_waits_for_its_gate_and_who_opened_it_and_why_is_kept() -> None:
    stage = gated()

    def approve() -> None:
        assert stage.fake.weights() == (90, 10)
        assert "Waits for gate approval before 50 %" in stage.state.sentences[0]
        assert "meshkit release approve web-v2 --gate approval" in stage.state.sentences[1]
        approve_gate("web-v2", stage.cluster, why="looked at the charts")

    outcome = stage.run(when(lambda state: waits(state, 20), approve))
    assert outcome.result == "promoted"
    assert stage.weights == [(100, 0), (995, 5), (90, 10), (50, 50), (0, 100)]
    (gate,) = outcome.state.gates
    assert (gate.answer, gate.who, gate.why) == ("approved", "ana", "looked at the charts")
    assert gate.answered_s is not None
    assert gate.answered_s - gate.since_s > 30
    assert [e.text for e in outcome.state.events if e.kind == "gate"] == [
        "waits for gate approval before 50 %",
        "gate approval before 50 % is open: looked at the charts",
    ]
    assert '"answer":"approved"' in verified(stage)


def test_a_gate_before_100_percent_is_in_front_of_the_promotion_and_its_watch() -> None:
    stage = Stage(gates=[{"name": "approval"}], watch_s=5, keep_percent=5, look_s=3, rps=100)
    outcome = stage.run(when(waits, lambda: approve_gate("web-v2", stage.cluster)))
    assert outcome.result == "promoted"
    texts = [event.text for event in outcome.state.events]
    assert texts.index("gate approval before 100 % is open") < texts.index("50 to 95 %")


def test_a_gate_before_the_first_step_keeps_all_requests_at_stable() -> None:
    stage = Stage(gates=[{**APPROVAL, "before": 0.5}], look_s=3, rps=100)

    def approve() -> None:
        assert stage.weights == [(100, 0)]
        approve_gate("web-v2", stage.cluster)

    assert stage.run(when(lambda state: waits(state, 5), approve)).result == "promoted"
    verified(stage)


def test_the_safety_net_stays_on_while_a_gate_is_waited_for() -> None:
    stage = gated()

    def decay() -> None:
        stage.observer.behaviours["v2"] = BAD

    outcome = stage.run(when(lambda state: waits(state, 5), decay))
    assert outcome.result == "rolled_back"
    assert stage.fake.weights() == (100, 0)
    assert outcome.state.gates[0].answer == "waits"
    verified(stage)


def test_the_deadline_waits_for_a_gate() -> None:
    stage = Stage(gates=[APPROVAL], deadline_s=100, look_s=5, rps=100)
    approve = when(lambda state: waited_s(state) > 200, lambda: approve_gate("web-v2", stage.cluster))
    assert stage.run(approve).result == "promoted"
    verified(stage)


@pytest.mark.parametrize("by", ["command", "file", "annotation", "webhook"])
def test_a_gate_that_nobody_answers_expires_to_stable(by: str, tmp_path: Path) -> None:
    more = {"file": {"file": f"{tmp_path}/gate"}, "webhook": {"webhook": {"name": "hook"}}}.get(by, {})
    stage = gated(by=by, expires_s=30, at_expiry="rollback", **more)
    outcome = stage.run()
    assert outcome.result == "rolled_back"
    assert outcome.sentences == ("Gate approval was not answered within 30 s.",)
    assert stage.fake.weights() == (100, 0)
    verified(stage)


def test_a_gate_that_expired_to_a_hold_is_rolled_back_at_the_deadline() -> None:
    stage = Stage(gates=[{**APPROVAL, "expires_s": 30}], deadline_s=100, look_s=5, rps=100)
    outcome = stage.run()
    assert outcome.result == "undecided"
    assert stage.fake.weights() == (100, 0)
    state = outcome.state
    assert state.gates[0].answer == "expired"
    assert state.ended_s is not None
    assert 130 <= state.ended_s - state.started_s < 145, "the deadline waited for the gate, and then ran on"
    verified(stage)


def test_a_person_opens_a_gate_that_has_expired_whatever_it_was_to_open_by(tmp_path: Path) -> None:
    stage = gated(by="file", file=f"{tmp_path}/gate", expires_s=30)
    refused: list[str] = []

    def command(state: ReleaseState) -> None:
        if waits(state) and not state.last_command:
            try:
                approve_gate("web-v2", stage.cluster, gate="approval")
            except BadInput as error:
                refused.append(str(error))

    assert stage.run(command).result == "promoted"
    assert "opens by file" in refused[0]
    assert stage.state.gates[0].answer == "approved"
    assert "gate approval before 50 % expired after 30 s" in [event.text for event in stage.state.events]
    verified(stage)


def test_promote_overrules_a_gate_and_says_who_did() -> None:
    stage = gated()
    outcome = stage.run(when(waits, lambda: send_command("web-v2", "promote", stage.cluster)))
    assert outcome.result == "promoted"
    assert (outcome.state.gates[0].answer, outcome.state.gates[0].who) == ("overruled", "ana")
    verified(stage)


def test_a_gate_does_not_expire_while_a_person_holds_the_release() -> None:
    stage = gated(expires_s=30, at_expiry="rollback")

    def command(state: ReleaseState) -> None:
        if waits(state) and not state.last_command:
            send_command("web-v2", "hold", stage.cluster)
        if state.held and waited_s(state) > 100:
            approve_gate("web-v2", stage.cluster)
            send_command("web-v2", "resume", stage.cluster)

    assert stage.run(command).result == "promoted"
    verified(stage)


def test_a_runner_that_takes_over_waits_for_the_same_gate() -> None:
    stage = gated()
    stage.run_until_killed(lambda state: waits(state, 3))
    since_s = stage.state.gates[0].since_s
    approve = when(lambda state: waits(state, 6), lambda: approve_gate("web-v2", stage.cluster))
    assert stage.run(approve).result == "promoted"
    assert stage.state.gates[0].since_s == since_s


def test_two_approvals_at_once_are_both_read() -> None:
    stage = Stage(gates=[APPROVAL, {**APPROVAL, "name": "security"}], look_s=3, rps=100)

    def approve() -> None:
        with pytest.raises(BadInput, match="it waits for approval, security"):
            approve_gate("web-v2", stage.cluster)
        approve_gate("web-v2", stage.cluster, gate="approval")
        approve_gate("web-v2", stage.cluster, gate="security", why="scanned")

    assert stage.run(when(waits, approve)).result == "promoted"
    assert [(gate.gate.name, gate.why) for gate in stage.state.gates] == [
        ("approval", ""),
        ("security", "scanned"),
    ]


def test_a_gate_that_is_not_waited_for_takes_no_approval() -> None:
    stage = gated()
    stage.run_until_killed(lambda state: state.step == 0)
    with pytest.raises(BadInput, match="gate approval is not waited for"):
        approve_gate("web-v2", stage.cluster, gate="approval")
    with pytest.raises(UnknownName, match="approvel"):
        approve_gate("web-v2", stage.cluster, gate="approvel")


def test_an_approval_of_an_earlier_run_does_not_open_the_gate_of_the_next() -> None:
    stage = gated(expires_s=30, at_expiry="rollback")
    stage.run(when(waits, lambda: approve_gate("web-v2", stage.cluster)))
    stage.fake.set_weights(100, 0)
    assert stage.run().result == "rolled_back"


# By a file


def by_file(tmp_path: Path, text: str, *, age_s: float = 0.0) -> tuple[Stage, Outcome]:
    path = tmp_path / "gate"
    stage = gated(by="file", file=str(path), expires_s=60, at_expiry="rollback")

    def write() -> None:
        path.write_text(text)
        at_s = stage.clock.now() - age_s
        os.utime(path, (at_s, at_s))

    return stage, stage.run(when(lambda state: waits(state, 3), write))


def test_a_file_opens_a_gate_and_its_owner_is_kept(tmp_path: Path) -> None:
    stage, outcome = by_file(tmp_path, "Approve: the tests of CI\nhave passed\n")
    assert outcome.result == "promoted"
    (gate,) = outcome.state.gates
    assert gate.who.startswith("the owner of the file, ")
    assert gate.why == "the tests of CI have passed"
    verified(stage)


def test_a_file_that_rejects_gives_the_requests_back(tmp_path: Path) -> None:
    stage, outcome = by_file(tmp_path, "reject\n")
    assert outcome.result == "rolled_back"
    assert outcome.sentences[0].startswith("Gate approval was rejected by the owner of the file")
    assert stage.fake.weights() == (100, 0)
    verified(stage)


@pytest.mark.parametrize(
    ("text", "age_s", "why"),
    [("approve", 10_000.0, "is from before the release"), ("yes", 0.0, "neither approve nor reject")],
)
def test_a_file_that_is_no_answer_is_told_once(tmp_path: Path, text: str, age_s: float, why: str) -> None:
    _, outcome = by_file(tmp_path, text, age_s=age_s)
    assert outcome.result == "rolled_back"
    told = [event.text for event in outcome.state.events if event.kind == "note"]
    assert len(told) == 1
    assert why in told[0]


# By an annotation


def by_annotation(*, age_s: float = 0.0, labels: tuple[str, ...] = ("v1", "v2")) -> Outcome:
    stage = gated(by="annotation", expires_s=60, at_expiry="rollback")
    for version in labels:
        meta = {"name": f"web-{version}", "namespace": "shop"}
        template = {"metadata": {"labels": {"app": "web", "version": version}}}
        stage.fake.api.create(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}}
        )
    service = stage.fake.api.objects["Service", "shop", "web"]
    service["spec"]["selector"] = {"app": "web"}

    def annotate() -> None:
        key, at_s = "meshkit.dev/gate-approval", stage.clock.now() - age_s
        entry = {
            "manager": "kubectl-annotate",
            "time": datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{key}": {}}}},
        }
        meta = stage.fake.api.objects["Deployment", "shop", "web-v2"]["metadata"]
        meta.update(annotations={key: "approve: seen"}, managedFields=[entry])

    outcome = stage.run(when(lambda state: waits(state, 3), annotate))
    verified(stage)
    return outcome


def test_an_annotation_of_the_canarys_workload_opens_a_gate_and_its_manager_is_kept() -> None:
    outcome = by_annotation()
    assert outcome.result == "promoted"
    (gate,) = outcome.state.gates
    assert (gate.who, gate.why) == ("the field manager kubectl-annotate", "seen")


def test_an_annotation_from_before_the_release_opens_nothing() -> None:
    outcome = by_annotation(age_s=10_000)
    assert outcome.result == "rolled_back"
    assert any("is from before the release" in event.text for event in outcome.state.events)


def test_rights_that_a_gate_needs_are_asked_for_before_anything_is_written() -> None:
    stage = gated(by="annotation")
    stage.fake.api.denied = {"list deployments"}
    with pytest.raises(Forbidden, match=r"list deployments.apps in shop"):
        stage.run()


# By a webhook


def by_webhook(hook: Hook) -> Outcome:
    stage = gated(by="webhook", webhook={"name": "hook"}, expires_s=40, at_expiry="rollback")
    hook.secret_in(stage)

    def give_time(state: ReleaseState) -> None:
        """The clock of the release does not wait for a real request."""
        if state.status == "waiting":
            time.sleep(0.02)

    outcome = stage.run(give_time)
    records = json.dumps(Journal(stage.cluster).records(outcome.change_id))
    for text in (verified(stage), records):
        assert PATH not in text
        assert f":{hook.server_port}" not in text
    return outcome


def test_a_webhook_decides_and_says_who_and_why() -> None:
    approve = json.dumps({"decision": "approve", "who": "cab", "why": "CHG-7"})
    with serving((200, '{"decision": "wait"}'), (200, approve)) as hook:
        outcome = by_webhook(hook)
    assert outcome.result == "promoted"
    (gate,) = outcome.state.gates
    assert (gate.who, gate.why) == ("cab", "CHG-7")
    assert len(hook.bodies) == 2
    asked = {key: hook.bodies[0][key] for key in ("gate", "release", "percent", "next_percent", "canary")}
    assert asked == {
        "gate": "approval",
        "release": "web-v2",
        "percent": 10.0,
        "next_percent": 50.0,
        "canary": "v2",
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((503, ""), "answered with status 503"),
        ((302, ""), "answered with status 302"),
        ((200, "welcome"), "without a decision"),
        ((200, '{"decision": ["approve"]}'), "without a decision"),
    ],
)
def test_a_webhook_that_does_not_decide_opens_nothing_and_is_told_once(
    answer: tuple[int, str], told: str
) -> None:
    with serving(answer) as hook:
        outcome = by_webhook(hook)
    assert outcome.result == "rolled_back"
    notes = [event.text for event in outcome.state.events if event.kind == "note"]
    assert len(notes) == 1
    assert told in notes[0]


def test_a_webhook_without_its_secret_is_told_and_the_safety_net_stays_on() -> None:
    stage = gated(by="webhook", webhook={"name": "hook"})

    def decay() -> None:
        stage.observer.behaviours["v2"] = BAD

    outcome = stage.run(when(lambda state: waits(state, 5), decay))
    assert outcome.result == "rolled_back"
    assert any("Secret shop/hook does not exist" in event.text for event in outcome.state.events)
