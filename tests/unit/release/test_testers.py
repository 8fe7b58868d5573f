"""Testers reach the canary by a header while others are weighted, by a rule that comes and goes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshkit.cluster.journal import Journal
from meshkit.errors import BadInput, Conflict, ManualActionRequired
from meshkit.intent.cohort import Cohort
from meshkit.operations.change import apply
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.release.state.model import ReleaseState
from meshkit.testing import Behaviour
from tests.unit.release.stage import BAD, GOOD, Stage, killed_at_each_write

TESTERS = Cohort(headers={"X-Tester": "yes"})
BOTH = pytest.mark.parametrize("mesh", ["istio", "linkerd"])


def rules(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.fake.object()["spec"][stage.fake.route.rules]
    return found


def unweighted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules without the weights of the last one, which a release moves."""
    found = copy.deepcopy(found)
    for entry in found[-1].get("route") or found[-1]["backendRefs"]:
        entry.pop("weight")
    return found


@BOTH
def test_the_rule_is_there_from_the_start_to_the_end_and_only_weights_remain_changed(mesh: str) -> None:
    stage = Stage(mesh, testers=TESTERS, baseline_s=3)
    before, seen = rules(stage), []
    outcome = stage.run(lambda state: seen.append((state.ended, len(rules(stage)))))
    assert outcome.result == "promoted"
    assert {count for ended, count in seen if not ended} == {len(before) + 1}
    assert unweighted(rules(stage)) == unweighted(before)
    assert stage.fake.object()["metadata"]["managedFields"][0]["manager"] == "argocd"
    found = verify_evidence(release_evidence("web-v2", stage.cluster), stage.cluster)
    assert found.intact, found


def test_a_virtual_service_gets_a_rule_in_front_for_the_testers_of_its_own_rule() -> None:
    stage = Stage(testers=Cohort(headers={"X-Tester": "yes"}, cookies={"group": "b.1"}))
    stage.run_until_killed(lambda state: True)
    assert rules(stage)[1] == {
        "name": "primary-canary",
        "match": [
            {
                "headers": {
                    "x-tester": {"exact": "yes"},
                    "cookie": {"regex": r"(.*; *)?group=b\.1( *;.*)?"},
                }
            }
        ],
        "route": [{"destination": {"host": "web", "subset": "v2"}}],
    }
    assert rules(stage)[2]["name"] == "primary"


def test_an_http_route_gets_a_more_specific_rule_for_the_testers() -> None:
    stage = Stage("linkerd", testers=TESTERS)
    stage.run_until_killed(lambda state: True)
    assert rules(stage)[1] == {
        "matches": [
            {
                "path": {"type": "PathPrefix", "value": "/"},
                "headers": [{"type": "Exact", "name": "X-Tester", "value": "yes"}],
            }
        ],
        "backendRefs": [{"kind": "Service", "name": "web-v2", "port": 8080, "weight": 1}],
    }


@BOTH
def test_a_worse_canary_loses_its_testers_with_its_weight_by_one_patch(mesh: str) -> None:
    stage = Stage(mesh, testers=TESTERS, canary_behaviour=BAD)
    before = rules(stage)
    assert stage.run().result == "rolled_back"
    assert rules(stage) == before
    last = next(
        ops for ops in reversed(stage.fake.api.patches) if ops[-1]["path"] != "/metadata/managedFields"
    )
    assert [op["op"] for op in last if op["op"] != "test"] == ["add", "add", "remove"]


def test_the_rule_that_the_api_server_completes_is_found_again() -> None:
    stage = Stage("linkerd", testers=TESTERS)
    stage.run_until_killed(lambda state: state.step == 1)
    stored = stage.fake.api.objects["HTTPRoute", "shop", stage.fake.route.name]
    stored["spec"]["rules"][1]["backendRefs"][0]["group"] = ""
    stored["spec"]["rules"].insert(0, {"matches": [{"path": {"type": "Exact", "value": "/health"}}]})
    assert stage.run().result == "promoted"
    assert len(rules(stage)) == 3


@pytest.mark.parametrize("behaviour", [GOOD, BAD])
def test_no_kill_before_or_after_a_write_leaves_the_rule(behaviour: Behaviour) -> None:
    def make() -> Stage:
        return Stage(testers=TESTERS, canary_behaviour=behaviour, steps=(50, 100), step_s=1)

    before = rules(make())
    for number, stage in killed_at_each_write(make):
        assert stage.state.result == ("promoted" if behaviour is GOOD else "rolled_back"), number
        assert unweighted(rules(stage)) == unweighted(before), number


def test_a_rule_that_others_removed_ends_the_release_without_another_write() -> None:
    stage = Stage(testers=TESTERS)

    def remove(state: ReleaseState) -> None:
        if state.step == 1 and len(rules(stage)) == 3:
            stage.fake.api.objects["VirtualService", "shop", "web"]["spec"]["http"].pop(1)

    outcome = stage.run(remove)
    assert outcome.result == "undecided"
    assert "its testers is gone" in outcome.sentences[0]
    assert stage.fake.weights() == (90, 10)


def test_where_others_changed_the_weights_the_rule_is_removed_all_the_same() -> None:
    stage = Stage(testers=TESTERS)
    before = rules(stage)

    def change(state: ReleaseState) -> None:
        if state.step == 1:
            stage.fake.set_weights(70, 30)

    outcome = stage.run(change)
    assert outcome.result == "undecided"
    assert "own rule was removed" in outcome.sentences[1]
    assert stage.fake.weights() == (70, 30)
    assert unweighted(rules(stage)) == unweighted(before)


@pytest.mark.parametrize("kept", ["the first record", "nothing"])
def test_a_rollback_after_the_records_were_deleted_removes_the_rule(kept: str) -> None:
    stage = Stage(testers=TESTERS)
    before = rules(stage)
    stage.run_until_killed(lambda state: state.step == 1)
    change = stage.state.change_id
    for key, obj in list(stage.fake.api.objects.items()):
        if key[0] in ("ConfigMap", "Secret") and (kept == "nothing" or change in obj["metadata"]["name"]):
            del stage.fake.api.objects[key]
    release = stage.release if kept == "nothing" else stage.release.name
    plan = plan_rollback(release, stage.cluster, mesh="istio", force=True, clock=stage.clock)
    assert "its testers removed" in str(plan)
    apply(plan, stage.cluster)
    assert rules(stage) == before


def test_a_rule_that_changed_since_the_plan_is_refused() -> None:
    stage = Stage(testers=TESTERS)
    plan = stage.plan()
    stage.fake.api.objects["VirtualService", "shop", "web"]["spec"]["http"][1]["timeout"] = "3s"
    with pytest.raises(Conflict, match="changed since the plan"):
        stage.run(plan=plan)
    assert not Journal(stage.cluster).has(plan.change_id)


def test_testers_by_a_header_on_which_the_rule_has_a_condition_are_refused() -> None:
    stage = Stage(testers=TESTERS)
    rule = stage.fake.api.objects["VirtualService", "shop", "web"]["spec"]["http"][1]
    rule["match"] = [{"headers": {"x-tester": {"exact": "no"}}}]
    with pytest.raises(BadInput, match=r"release\.testers: no rule can choose them"):
        stage.plan()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "headers or"),
        ({"headers": {"cookie": "a=b"}}, "headers.cookie"),
        ({"headers": {"x": ""}}, "headers.x"),
        ({"cookies": {"a b": "c"}}, "cookies.a b"),
        ({"cookies": {"a": "b;c"}}, "cookies.a"),
    ],
)
def test_a_cohort_that_chooses_nothing_certain_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises((BadInput, ValueError)):
        Cohort(**given)


def test_the_plan_says_what_it_adds() -> None:
    plan = Stage(testers=TESTERS).plan()
    assert "requests with X-Tester: yes go to v2" in plan.text(forecast=False)
    assert list(plan.as_record()["additions"]) == ["testers"]


def test_an_end_that_cannot_be_tidied_needs_a_person() -> None:
    """The route lost its versions while the process was away: nothing is guessed."""
    stage = Stage(testers=TESTERS)
    stage.run_until_killed(lambda state: state.step == 1)
    del stage.fake.api.objects["VirtualService", "shop", "web"]
    with pytest.raises(ManualActionRequired):
        stage.run()
