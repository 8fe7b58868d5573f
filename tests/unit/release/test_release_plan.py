"""The plan of a release shows what would be shifted, changes nothing, and runs exactly once."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from meshkit.errors import BadInput, Conflict
from meshkit.intent.release import Margins
from meshkit.operations.change import apply, history
from meshkit.operations.release.plan import ReleasePlan
from meshkit.views.display import release_plan_table
from tests.unit.release.stage import Killed, Stage


@pytest.mark.parametrize(("mesh", "route"), [("istio", "VirtualService shop/web"), ("linkerd", "HTTPRoute")])
def test_it_shows_route_owner_weights_steps_and_forecast(mesh: str, route: str) -> None:
    stage = Stage(mesh)
    plan = stage.plan()
    text = str(plan)
    assert f"route     {route}" in text
    assert "owned by argocd" in text
    assert "weights   v1 100, v2 0" in text
    assert "0.5\u00a0% for at least 5\u00a0s, 10\u00a0% for at least 5\u00a0s" in text
    assert "at 300 requests per second" in text
    html = str(release_plan_table(plan))
    assert all(part in html for part in (route, "argocd", "v1 100, v2 0", "300 requests per second"))


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ([{"path": {"type": "PathPrefix", "value": "/"}}], "HTTPRoute shop/web-primary, owned by argocd"),
        (
            [{"path": {"type": "PathPrefix", "value": "/new"}}],
            'these matches: [{"path": {"type": "PathPrefix"',
        ),
    ],
)
def test_a_rule_without_a_name_is_told_by_its_matches(conditions: list[dict[str, Any]], told: str) -> None:
    plan = Stage("linkerd").plan()
    assert told in plan_through(plan, conditions)


def plan_through(plan: ReleasePlan, conditions: list[dict[str, Any]]) -> str:
    """The text of a plan whose rule has these matches."""
    return replace(plan, route=replace(plan.route, conditions=conditions)).text(forecast=False)


def test_planning_changes_nothing() -> None:
    stage = Stage()
    before = copy.deepcopy(stage.fake.api.objects)
    str(stage.plan())
    assert stage.fake.api.objects == before
    assert stage.fake.api.patches == []


def test_as_json() -> None:
    plan = Stage().plan()
    record = json.loads(plan.to_json())
    assert record["route"]["object"] == "VirtualService shop/web"
    assert (record["owners"], record["weights"]) == (["argocd"], {"v1": 100, "v2": 0})
    assert (record["steps"], record["change"]) == ([0.5, 10, 50, 100], plan.change_id)
    assert (record["resumes"], record["forecast_unknown"]) == (None, "")
    assert record["forecast"]["rps"] == pytest.approx(300, rel=0.02)


def test_a_forecast_that_warns_is_shown_with_its_finding() -> None:
    plan = Stage(margins=Margins(error_points=0.01), deadline_s=30).plan()
    assert plan.all_findings
    assert all(finding.message in str(plan) for finding in plan.all_findings)


def test_without_traffic_the_forecast_is_not_known() -> None:
    plan = Stage(rps=0).plan()
    assert "forecast  not known: v1 answered no request in 15 s." in str(plan)
    record = json.loads(plan.to_json())
    assert record["forecast"] is None
    assert record["forecast_unknown"] == "v1 answered no request in 15 s."


def test_the_change_is_that_of_the_plan_with_its_reason() -> None:
    stage = Stage()
    plan = stage.plan()
    outcome = apply(plan, stage.cluster, why="ticket 7")
    assert outcome.change_id == plan.change_id
    (change,) = history(stage.cluster)
    assert (change.id, change.why, change.operation.name) == (plan.change_id, "ticket 7", "release")


def test_missing_rights_are_told_in_the_plan() -> None:
    stage = Stage()
    stage.fake.api.denied = {"patch virtualservices"}
    plan = stage.plan()
    assert "it may not patch virtualservices.networking.istio.io in shop" in str(plan)
    assert "patch virtualservices" in json.loads(plan.to_json())["missing_rights"]


def test_a_plan_runs_once() -> None:
    stage = Stage()
    plan = stage.plan()
    stage.run(plan=plan)
    stage.fake.set_weights(100, 0)
    with pytest.raises(Conflict, match=f"Change {plan.change_id} of the plan has ended: .* is promoted"):
        stage.run(plan=plan)
    assert stage.fake.weights() == (100, 0)


def test_the_same_plan_resumes_its_own_killed_release() -> None:
    stage = Stage()
    plan = stage.plan()
    killed = _killed_at_step_1(stage, plan)
    outcome = stage.run(plan=plan)
    assert (outcome.result, outcome.change_id) == ("promoted", killed)


def test_a_new_plan_of_a_killed_release_says_that_it_resumes_it() -> None:
    stage = Stage()
    killed = _killed_at_step_1(stage, stage.plan())
    plan = stage.plan()
    assert plan.change_id == killed
    assert f"resumes change {killed}, shifting at 10 %." in str(plan)
    assert "weights   v1 100, v2 0" in str(plan)
    assert "owned by argocd" in str(plan)
    assert json.loads(plan.to_json())["resumes"] == {"status": "shifting", "step": 1, "asked_percent": 10}
    assert stage.run(plan=plan).change_id == killed


def test_weights_that_changed_since_the_plan_are_left_alone() -> None:
    stage = Stage()
    plan = stage.plan()
    stage.fake.set_weights(70, 30)
    with pytest.raises(Conflict, match="are 70 and 30 now; the plan saw 100 and 0"):
        stage.run(plan=plan)
    assert stage.fake.weights() == (70, 30)
    assert history(stage.cluster) == []


def test_a_release_that_was_started_since_the_plan_is_not_resumed_by_it() -> None:
    stage = Stage()
    plan = stage.plan()
    killed = _killed_at_step_1(stage, stage.plan())
    with pytest.raises(Conflict, match=f"was started since the plan, as change {killed}"):
        stage.run(plan=plan)


def test_a_plan_to_resume_is_refused_once_the_release_has_ended() -> None:
    stage = Stage()
    _killed_at_step_1(stage, stage.plan())
    plan = stage.plan()
    stage.run()
    with pytest.raises(Conflict, match="has ended"):
        stage.run(plan=plan)


@pytest.mark.parametrize("record", [1, 2, 3])
def test_a_process_that_died_between_its_first_records_is_followed_by_the_same_plan(record: int) -> None:
    """The first record names the change, the second begins the release, the third makes it known."""
    stage = Stage()
    plan, api, seen = stage.plan(), stage.fake.api, [0]
    original = api._stored

    def die(obj: dict[str, object]) -> dict[str, object]:
        stored = original(obj)
        seen[0] += obj["kind"] == "ConfigMap"
        if seen[0] == record:
            raise Killed
        return stored

    api._stored = die  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        stage.run(plan=plan)
    api._stored = original  # type: ignore[method-assign]
    outcome = stage.run(plan=plan)
    assert (outcome.result, outcome.change_id) == ("promoted", plan.change_id)
    assert [event.kind for event in outcome.state.events].count("begin") == 1


def test_a_plan_for_another_cluster_is_refused() -> None:
    stage, other = Stage(), Stage()
    other.fake.server = "other"
    with pytest.raises(BadInput, match="it was made for"):
        apply(stage.plan(), other.cluster)


def _killed_at_step_1(stage: Stage, plan: ReleasePlan) -> str:
    """Run the plan, kill it at step 1, and return the id of its change."""

    def kill(state: object) -> None:
        if stage.fake.weights() == (90, 10):
            raise Killed

    with pytest.raises(Killed):
        stage.run(kill, plan=plan)
    return stage.state.change_id


def test_a_route_that_a_gitops_tool_applies_is_told_before_the_start() -> None:
    stage = Stage()
    assert not any(finding.code == "MK2402" for finding in stage.plan().findings)
    stage.fake.api.objects["VirtualService", "shop", "web"]["metadata"]["annotations"] = {
        "argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:shop/web"
    }
    (finding,) = [each for each in stage.plan().findings if each.code == "MK2402"]
    assert finding.message in str(stage.plan().text(forecast=False))
