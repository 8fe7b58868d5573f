"""The loop with a clock that tests move and made-up measurements, over the real journal and lock."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import CONFIG_MAP, NAMESPACE, Journal
from meshkit.errors import (
    BadInput,
    ClusterError,
    Conflict,
    Forbidden,
    ManualActionRequired,
    NoData,
    UnknownName,
    Unreachable,
)
from meshkit.observe.counters import Counters, Target
from meshkit.operations.change import apply
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.forecast import forecast_release
from meshkit.operations.release.runner import release_state, send_command
from meshkit.operations.release.state import model
from meshkit.operations.release.state.fold import after
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.undo import undo
from meshkit.testing import Behaviour
from tests.unit.release.fake_api import OWNER
from tests.unit.release.stage import (
    BAD,
    GOOD,
    Killed,
    Stage,
)


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_good_release_is_promoted_step_by_step(mesh: str) -> None:
    stage = Stage(mesh)
    outcome = stage.run()
    assert outcome.result == "promoted"
    assert outcome.exit_code == 0
    assert stage.weights == [(100, 0), (995, 5), (90, 10), (50, 50), (0, 100)]
    assert outcome.state.ended_s is not None
    assert outcome.state.ended_s - outcome.state.started_s < 60


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_bad_release_is_rolled_back_within_seconds_at_the_first_step(mesh: str) -> None:
    stage = Stage(mesh, canary_behaviour=BAD)
    outcome = stage.run()
    assert outcome.result == "rolled_back"
    assert outcome.exit_code == 1
    assert stage.weights == [(100, 0), (995, 5), (100, 0)]
    shifted = next(h.at_s for h in outcome.state.events if h.kind == "weights")
    assert outcome.state.ended_s is not None
    assert outcome.state.ended_s - shifted <= 15


def test_with_versions_exchanged_the_outcome_is_exchanged() -> None:
    stage = Stage()
    stage.observer.behaviours = {"v1": BAD, "v2": GOOD}
    assert stage.run().result == "promoted"


def test_release_without_traffic_is_not_promoted_and_nothing_is_changed() -> None:
    stage = Stage(rps=0, deadline_s=60)
    outcome = stage.run()
    assert outcome.result == "undecided"
    assert outcome.exit_code == 3
    assert stage.fake.api.patches == []


def test_traffic_that_stops_is_not_success() -> None:
    stage = Stage(deadline_s=60)

    def stop(state: ReleaseState) -> None:
        if state.step == 1:
            stage.observer.rps = 0

    outcome = stage.run(stop)
    assert outcome.result == "undecided"
    assert outcome.sentences[0].endswith("v1 serves all requests.")
    assert stage.fake.weights() == (100, 0)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]


def test_undecided_release_may_be_held_with_the_safety_net_on() -> None:
    stage = Stage(deadline_s=30, step_s=1000, at_deadline="hold")

    def decay(state: ReleaseState) -> None:
        if state.held and len(state.looks) == 60:
            stage.observer.behaviours["v2"] = BAD

    outcome = stage.run(decay)
    assert outcome.result == "rolled_back"
    assert "held at the deadline" in [h.text for h in outcome.state.events]
    assert stage.fake.weights() == (100, 0)


def test_person_may_wait_longer_than_the_deadline() -> None:
    stage = Stage(deadline_s=40)

    def command(state: ReleaseState) -> None:
        if state.step == 1 and not state.last_command:
            send_command("web-v2", "hold", stage.cluster)
        if state.held and len(state.step_looks) == 100:
            send_command("web-v2", "resume", stage.cluster)

    assert stage.run(command).result == "promoted"


def test_promote_ends_a_hold() -> None:
    stage = Stage(step_s=1000)

    def command(state: ReleaseState) -> None:
        if state.step == 0 and not state.last_command:
            send_command("web-v2", "hold", stage.cluster)
        elif state.held:
            send_command("web-v2", "promote", stage.cluster)

    assert stage.run(command).result == "promoted"


def test_traffic_that_stops_at_100_percent_does_not_hang() -> None:
    stage = Stage(watch_s=10, deadline_s=60)

    def stop(state: ReleaseState) -> None:
        if state.step == 3:
            stage.observer.rps = 0

    assert stage.run(stop).result == "undecided"


def test_no_measurement_is_told_and_never_success() -> None:
    class Blind:
        def counters(self, cluster: Cluster, target: Target) -> Counters:
            raise NoData("No sidecar answers.", remedy="Look at them.")

    stage = Stage(deadline_s=30)
    outcome = stage.run(observer=Blind())
    assert outcome.result == "undecided"
    assert [h.text for h in outcome.state.events if h.kind == "note"] == ["No sidecar answers. Look at them."]


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
@pytest.mark.parametrize("behaviour", [GOOD, BAD], ids=["promoted", "rolled back"])
def test_fields_are_handed_back(mesh: str, behaviour: Behaviour) -> None:
    stage = Stage(mesh, canary_behaviour=behaviour)
    stage.run()
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]


def test_every_write_of_weights_tests_version_and_destinations() -> None:
    stage = Stage()
    stage.run()
    for ops in stage.fake.api.patches:
        if any("weight" in str(op["path"]) for op in ops):
            tests = [str(op["path"]) for op in ops if op["op"] == "test"]
            assert tests[0] == "/metadata/resourceVersion"
            assert sum(path.endswith("/destination") for path in tests) == 2


def test_hold_keeps_the_step_and_resume_goes_on() -> None:
    stage = Stage(step_s=3)

    def command(state: ReleaseState) -> None:
        if state.step == 1 and not state.held and len(state.step_looks) == 1:
            send_command("web-v2", "hold", stage.cluster)
        if state.held and len(state.step_looks) == 40:
            send_command("web-v2", "resume", stage.cluster)

    outcome = stage.run(command)
    assert outcome.result == "promoted"
    assert sum(judged.look.step == 1 for judged in outcome.state.looks) >= 40
    assert [h.text for h in outcome.state.events if h.kind == "command"] == ["hold", "resume"]


def test_safety_net_stays_on_while_held() -> None:
    stage = Stage()

    def command(state: ReleaseState) -> None:
        if state.step == 1 and not state.held:
            send_command("web-v2", "hold", stage.cluster)
        if state.held and len(state.step_looks) == 10:
            stage.observer.behaviours["v2"] = BAD

    assert stage.run(command).result == "rolled_back"


@pytest.mark.parametrize(
    ("verb", "result", "weights"), [("rollback", "rolled_back", (100, 0)), ("promote", "promoted", (0, 100))]
)
def test_a_person_decides(verb: Any, result: str, weights: tuple[int, int]) -> None:
    stage = Stage(step_s=1000)
    outcome = stage.run(
        lambda state: send_command("web-v2", verb, stage.cluster) if state.step == 0 else None
    )
    assert outcome.result == result
    assert stage.fake.weights() == weights
    assert next(h for h in outcome.state.events if h.kind == "command").who == "ana"


def test_promoted_canary_is_watched_beside_what_stable_keeps() -> None:
    stage = Stage(watch_s=20, keep_percent=5)
    outcome = stage.run()
    assert outcome.result == "promoted"
    assert stage.weights == [(100, 0), (995, 5), (90, 10), (50, 50), (5, 95), (0, 100)]


def test_decay_after_the_promotion_is_rolled_back() -> None:
    stage = Stage(watch_s=600, keep_percent=5)

    def decay(state: ReleaseState) -> None:
        if state.asked_percent == 95 and len(state.step_looks) == 10:
            stage.observer.behaviours["v2"] = BAD

    outcome = stage.run(decay)
    assert outcome.result == "rolled_back"
    assert stage.fake.weights() == (100, 0)


def test_traffic_is_measured_for_a_plan_and_nothing_is_changed() -> None:
    stage = Stage(rps=100)
    plan = forecast_release(stage.release, stage.cluster, observer=stage.observer, clock=stage.clock)
    assert plan.rps == pytest.approx(100, rel=0.02)
    assert {s.name for s in plan.statements} == {"errors", "p50", "p90", "p99"}
    assert stage.fake.api.patches == []
    stage.observer.rps = 0
    with pytest.raises(NoData, match="answered no request in 15 s"):
        forecast_release(stage.release, stage.cluster, observer=stage.observer, clock=stage.clock)


def test_a_plan_by_prometheus_measures_longer_than_a_scrape_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHKIT_PROMETHEUS", "http://127.0.0.1:9090")
    stage = Stage(rps=100)
    began_s = stage.clock.now()
    plan = forecast_release(stage.release, stage.cluster, observer=stage.observer, clock=stage.clock)
    assert stage.clock.now() - began_s == 60
    assert plan.rps == pytest.approx(100, rel=0.02)


def test_unknown_command_and_release_are_refused() -> None:
    stage = Stage()
    with pytest.raises(UnknownName, match="web-v2"):
        release_state("web-v2", stage.cluster)
    with pytest.raises(BadInput, match="ever started"):
        send_command("web-v2", "hold", stage.cluster)
    with pytest.raises(UnknownName, match="Known: hold, promote, resume, rollback"):
        send_command("web-v2", cast(Any, "holdd"), stage.cluster)


@pytest.mark.parametrize("at", ["before the first weight", "before a write", "after a write", "in a step"])
@pytest.mark.parametrize(("behaviour", "result"), [(GOOD, "promoted"), (BAD, "rolled_back")])
def test_killed_runner_is_gone_on_with(at: str, behaviour: Behaviour, result: str) -> None:
    stage = Stage(canary_behaviour=behaviour)
    api = stage.fake.api

    def kill() -> None:
        raise Killed

    def killer(state: ReleaseState) -> None:
        if at == "before the first weight" or (at == "in a step" and state.step == 0):
            raise Killed

    original = api.json_patch

    def patch_and_die(*args: Any, **named: Any) -> Any:
        original(*args, **named)
        raise Killed

    if at == "before a write":
        api.before_patch = kill
    if at == "after a write":
        api.json_patch = patch_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        stage.run(killer)
    api.before_patch = lambda: None
    api.json_patch = original  # type: ignore[method-assign]
    killed = stage.state
    assert not killed.ended
    outcome = stage.run()
    assert outcome.result == result
    assert outcome.change_id == killed.change_id
    assert outcome.state.looks[: len(killed.looks)] == killed.looks


def test_runner_keeps_a_bounded_number_of_looks_and_its_outcome_has_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Stage(baseline_s=5, watch_s=5)
    whole.run()
    monkeypatch.setattr(model, "RECENT_LOOKS", 3)
    stage, kept = Stage(baseline_s=5, watch_s=5), list[int]()
    outcome = stage.run(lambda state: kept.append(len(state.looks)))
    assert max(kept) == 3
    assert outcome.result == "promoted"
    assert outcome.state.looks == whole.state.looks
    assert verify_evidence(release_evidence("web-v2", stage.cluster)).intact


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("verb", ["json_patch", "merge_patch", "get"])
def test_server_that_does_not_answer_for_a_while_changes_no_outcome(lost: str, verb: str) -> None:
    """Every 29th request gets no answer; of half of these the server has carried out what was asked."""
    stage = Stage()
    original, seen = getattr(stage.fake.api, verb), [0]

    def flaky(*args: Any, **named: Any) -> Any:
        seen[0] += 1
        fails = seen[0] % (2 if verb == "json_patch" else 29) == 0
        if fails and lost == "request":
            raise Unreachable("no answer", remedy="")
        answer = original(*args, **named)
        if fails:
            raise Unreachable("no answer", remedy="")
        return answer

    def break_after_start(state: ReleaseState) -> None:
        setattr(stage.fake.api, verb, flaky)

    observed = stage.run(break_after_start)
    assert observed.result == "promoted"
    assert stage.weights[-1] == (0, 100)


def test_rollback_that_was_asked_for_survives_a_kill() -> None:
    stage = Stage()

    def command(state: ReleaseState) -> None:
        if state.step == 1:
            send_command("web-v2", "rollback", stage.cluster)
            stage.fake.api.before_patch = kill

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        stage.run(command)
    stage.fake.api.before_patch = lambda: None
    assert stage.run().result == "rolled_back"
    assert stage.fake.weights() == (100, 0)


def test_view_reads_from_the_cluster_what_the_runner_knows() -> None:
    stage = Stage()
    seen: list[ReleaseState] = []
    stage.run(seen.append)
    assert stage.state == seen[-1]


def test_weights_changed_by_others_stop_the_release_untouched() -> None:
    stage = Stage()

    def interfere(state: ReleaseState) -> None:
        if state.step == 1 and len(state.step_looks) == 1:
            stage.fake.set_weights(70, 30)

    outcome = stage.run(interfere)
    assert outcome.result == "undecided"
    assert "the canary gets 30 %" in outcome.sentences[0]
    assert stage.fake.weights() == (70, 30)


def test_other_changes_of_the_object_do_not_disturb() -> None:
    stage = Stage()

    def label() -> None:
        stage.fake.api.before_patch = lambda: None
        stage.fake.api.merge_patch(
            stage.fake.route.kind, "web", "shop", {"metadata": {"labels": {"team": "shop"}}}
        )

    stage.fake.api.before_patch = label
    assert stage.run().result == "promoted"
    assert stage.fake.object()["metadata"]["labels"] == {"team": "shop"}


def test_undecided_release_begins_anew() -> None:
    stage = Stage(deadline_s=20, step_s=15)
    first = stage.run()
    assert first.result == "undecided"
    stage.release = stage.release.model_copy(update={"deadline_s": 300.0})
    again = stage.run()
    assert again.result == "promoted"
    assert again.change_id != first.change_id


def test_second_runner_is_refused_while_the_first_lives() -> None:
    stage = Stage()
    refused: list[str] = []

    def second(state: ReleaseState) -> None:
        if state.step == 0 and not refused:
            try:
                apply(stage.plan(), stage.cluster)
            except Conflict as error:
                refused.append(str(error))

    assert stage.run(second).result == "promoted"
    assert "is held by" in refused[0]


def test_running_release_with_other_settings_is_refused() -> None:
    stage = Stage()
    stage.run_until_killed(lambda state: state.step == 0)
    stage.release = stage.release.model_copy(update={"step_s": 7.0})
    with pytest.raises(BadInput, match="already running with other settings"):
        stage.run()


def test_canary_that_has_traffic_already_is_refused() -> None:
    stage = Stage()
    stage.fake.set_weights(80, 20)
    before = len(stage.fake.api.patches)
    with pytest.raises(BadInput, match=r"release.canary: v2 already gets 20 %"):
        stage.run()
    assert len(stage.fake.api.patches) == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("canary", "v9", r"release\.canary"),
        ("route", "other", r"release\.(route|stable)"),
        ("service", "shop", r"release\.service: Service shop/shop does not exist"),
        ("port", 9999, r"release\.port: Service shop/web has no port 9999\. Name one of its ports: 8080"),
    ],
)
def test_release_that_does_not_fit_the_route_is_refused(field: str, value: object, message: str) -> None:
    stage = Stage()
    stage.release = stage.release.model_copy(update={field: value})
    with pytest.raises(BadInput, match=message):
        stage.run()
    assert stage.fake.api.patches == []


def test_release_without_a_route_is_refused() -> None:
    stage = Stage()
    del stage.fake.api.objects["VirtualService", "shop", "web"]
    with pytest.raises(BadInput, match="VirtualService shop/web does not exist"):
        stage.run()


def test_virtual_service_of_another_name_is_released_and_handed_back() -> None:
    stage = Stage()
    obj = stage.fake.api.objects.pop(("VirtualService", "shop", "web"))
    obj["metadata"]["name"] = "web-vs"
    stage.fake.api.create(obj)
    stage.fake.route = replace(stage.fake.route, name="web-vs")
    stage.run_until_killed(lambda state: state.step == 1)
    outcome = stage.run()
    assert outcome.result == "promoted"
    assert stage.weights[-1] == (0, 100)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]
    undo(outcome.change_id, stage.cluster)
    assert stage.fake.weights() == (100, 0)


def test_after_promotion_the_canary_is_watched() -> None:
    stage = Stage(watch_s=20)

    def decay(state: ReleaseState) -> None:
        if state.step == 3 and len(state.step_looks) == 5:
            stage.observer.behaviours["v2"] = BAD

    outcome = stage.run(decay)
    assert outcome.result == "rolled_back"
    assert stage.fake.weights() == (100, 0)


def test_route_that_is_deleted_needs_a_person_and_is_gone_on_with() -> None:
    stage = Stage()
    key, kept = ("VirtualService", "shop", "web"), []

    def delete(state: ReleaseState) -> None:
        if state.step == 0:
            kept.append(stage.fake.api.objects.pop(key))

    with pytest.raises(ManualActionRequired, match="VirtualService shop/web is gone"):
        stage.run(delete)
    assert "is gone" in stage.state.events[-1].text
    stage.fake.api.objects[key] = kept[0]
    assert stage.run().result == "promoted"


def test_version_that_someone_takes_out_of_the_route_needs_a_person() -> None:
    stage = Stage()

    def cut(state: ReleaseState) -> None:
        if state.step == 0:
            obj = stage.fake.object()
            del obj["spec"]["http"][1]["route"][2]
            stage.fake.api.apply(obj)

    with pytest.raises(ManualActionRequired, match="was changed by someone else"):
        stage.run(cut)


@pytest.mark.parametrize("right", ["patch virtualservices", "get pods/proxy", "create leases"])
def test_missing_right_is_named_before_anything_is_changed(right: str) -> None:
    stage = Stage()
    before = dict(stage.fake.api.objects)
    stage.fake.api.denied = {right}
    with pytest.raises(Forbidden, match=f"ana may not {right}"):
        stage.run()
    assert stage.fake.api.objects == before


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_undo_of_a_promoted_release_puts_weights_and_owners_back(mesh: str) -> None:
    stage = Stage(mesh)
    outcome = stage.run()
    undo(outcome.change_id, stage.cluster)
    assert stage.fake.weights() == (100, 0)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]
    with pytest.raises(BadInput, match="is already undone"):
        undo(outcome.change_id, stage.cluster)


def test_undo_that_was_killed_half_way_is_finished_by_the_next() -> None:
    stage = Stage()
    outcome = stage.run()
    original = stage.fake.api.json_patch

    def patch_and_die(*args: Any, **named: Any) -> Any:
        original(*args, **named)
        raise Killed

    stage.fake.api.json_patch = patch_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        undo(outcome.change_id, stage.cluster)
    stage.fake.api.json_patch = original  # type: ignore[method-assign]
    undo(outcome.change_id, stage.cluster)
    assert stage.fake.weights() == (100, 0)
    assert stage.fake.object()["metadata"]["managedFields"] == [OWNER]


def test_undo_of_a_release_refuses_what_others_changed_since() -> None:
    stage = Stage()
    outcome = stage.run()
    stage.fake.set_weights(30, 70)
    with pytest.raises(ManualActionRequired, match="the canary gets 70 %"):
        undo(outcome.change_id, stage.cluster)
    assert stage.fake.weights() == (30, 70)


def test_undo_of_a_release_under_way_or_rolled_back_says_what_to_do() -> None:
    stage = Stage(canary_behaviour=BAD)
    killed = stage.run_until_killed(lambda state: state.step == 0)
    with pytest.raises(BadInput, match=r"is still running\. Roll it back"):
        undo(killed.change_id, stage.cluster)
    assert stage.run().result == "rolled_back"
    with pytest.raises(BadInput, match="did not change the weights"):
        undo(killed.change_id, stage.cluster)


def test_runner_that_was_only_slow_adds_nothing_to_the_next_ones_journal() -> None:
    stage = Stage()
    killed = stage.run_until_killed(lambda state: state.step == 0)
    late = {"kind": "weights", "at_s": stage.clock.now(), "step": 3, "asked_percent": 100.0}
    outcome = stage.run()
    Journal(stage.cluster).append(outcome.change_id, {**late, "writer": 0})
    assert outcome.change_id == killed.change_id
    assert stage.state == outcome.state


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_server_that_fails_for_a_while_does_not_end_the_release(status: int | None) -> None:
    stage = Stage()
    original = stage.fake.api.get
    failing: list[int] = []

    def get(*args: Any, **named: Any) -> Any:
        if failing:
            failing.pop()
            raise ClusterError("etcdserver: request timed out", remedy="", status=status)
        return original(*args, **named)

    stage.fake.api.get = get  # type: ignore[method-assign]

    def fail(state: ReleaseState) -> None:
        if len(state.looks) == 10:
            failing.extend([1, 2])

    assert stage.run(fail).result == "promoted"


def test_a_release_recorded_without_its_operation_is_undone_by_its_id() -> None:
    stage = Stage()
    outcome = stage.run()
    part = stage.cluster.api.list(CONFIG_MAP, NAMESPACE, f"meshkit.dev/change={outcome.change_id}")[0]
    first = json.loads(part["data"]["000000"])
    older = {name: first[name] for name in ("event", "at", "who", "what", "why", "salt")}
    patch = {"data": {"000000": json.dumps(older)}}
    stage.cluster.api.merge_patch(CONFIG_MAP, part["metadata"]["name"], NAMESPACE, patch)
    undo(outcome.change_id, stage.cluster)
    assert stage.fake.weights() == (100, 0)


@pytest.mark.parametrize(
    ("measured_percent", "requests", "said"),
    [
        (3.7, 27, "measured 3.7 %, asked 10 %: no contradiction, but only 27 requests were counted yet"),
        (9.8, 27, "measured 9.8 %, asked 10 %: agrees"),
        (9.8, 4000, "measured 9.8 %, asked 10 %: agrees"),
    ],
)
def test_a_share_of_few_requests_is_not_said_to_agree(
    measured_percent: float, requests: int, said: str
) -> None:
    stage = Stage()
    state = stage.run_until_killed(lambda state: state.step == 1)
    record = {"kind": "agreed", "at_s": 9.0, "measured_percent": measured_percent, "requests": requests}
    assert after(state, record).events[-1].text == said


def test_an_outcome_says_each_sentence_once() -> None:
    sentences = Stage().run().sentences
    assert sentences[0] == "v2 serves all requests."
    assert len(set(sentences)) == len(sentences)
