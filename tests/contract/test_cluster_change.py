"""Apply does what the plan showed and records the prior state; undo loses no change of others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.cluster.journal import NAMESPACE, Journal
from meshkit.errors import (
    BadInput,
    ChangeFailed,
    Conflict,
    Forbidden,
    ManualActionRequired,
    Rejected,
    TimedOut,
    Unreachable,
)
from meshkit.facts import Kind
from meshkit.kube.steps import Step, Wait
from meshkit.operations.change import apply, history
from meshkit.operations.undo import undo
from meshkit.views.display import plan_table
from tests.contract.plans import (
    planned,
)

CONFIG_MAP, SECRET, SERVICE = Kind("v1", "ConfigMap"), Kind("v1", "Secret"), Kind("v1", "Service")
DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def obj(kind: Kind, name: str, namespace: str | None = None, **body: Any) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **body}


def config(namespace: str, name: str = "settings", **data: str) -> Step:
    return Step(obj(CONFIG_MAP, name, namespace, data=data))


def data(cluster: Cluster, namespace: str, name: str = "settings") -> dict[str, str] | None:
    found = cluster.api.get(CONFIG_MAP, name, namespace)
    return None if found is None else found["data"]


def test_a_plan_changes_nothing_and_shows_fields_with_their_owners(cluster: Cluster, namespace: str) -> None:
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"a": "1", "b": "1"}), manager="meshkit")
    text = str(planned(cluster, [config(namespace, a="2", b="1"), config(namespace, "new")]))
    assert 'data.a: "1" -> "2"  (owned by meshkit)' in text
    assert f"create  ConfigMap {namespace}/new" in text
    assert data(cluster, namespace) == {"a": "1", "b": "1"}
    assert data(cluster, namespace, "new") is None


def test_a_plan_reads_as_text_html_and_json(cluster: Cluster, namespace: str) -> None:
    plan = planned(cluster, [config(namespace, a="<b>")])
    assert "1 step" in str(plan)
    assert "<table" in plan_table(plan)
    assert json.loads(plan.to_json())["steps"][0]["action"] == "create"


def test_applying_twice_leaves_nothing_to_do(cluster: Cluster, namespace: str) -> None:
    steps = [config(namespace, a="1")]
    change = apply(planned(cluster, steps), cluster)
    again = planned(cluster, steps)
    assert again.empty
    assert apply(again, cluster).id == ""
    assert next(c for c in history(cluster) if c.id == change.id).state == "done"


def test_progress_is_told_step_by_step(cluster: Cluster, namespace: str) -> None:
    seen: list[Progress] = []
    apply(planned(cluster, [config(namespace, "a"), config(namespace, "b")]), cluster, progress=seen.append)
    assert [(p.index, p.total, p.state) for p in seen] == [
        (1, 2, "applying"),
        (1, 2, "done"),
        (2, 2, "applying"),
        (2, 2, "done"),
    ]


def test_a_field_of_another_manager_stops_the_plan(cluster: Cluster, namespace: str) -> None:
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"a": "1"}), manager="argocd")
    with pytest.raises(Conflict, match=r"argocd owns \.data\.a"):
        planned(cluster, [config(namespace, a="2")])


def test_an_object_that_changed_since_the_plan_stops_the_change(cluster: Cluster, namespace: str) -> None:
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"a": "1"}))
    plan = planned(cluster, [config(namespace, a="2")])
    cluster.api.merge_patch(CONFIG_MAP, "settings", namespace, {"data": {"b": "9"}}, manager="argocd")
    with pytest.raises(Conflict, match="has been changed since it was planned, last by argocd"):
        apply(plan, cluster)
    assert data(cluster, namespace) == {"a": "1", "b": "9"}


def test_an_object_made_since_the_plan_stops_the_change(cluster: Cluster, namespace: str) -> None:
    plan = planned(cluster, [config(namespace, a="2")])
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"b": "1"}), manager="argocd")
    with pytest.raises(Conflict, match="has been created by someone else"):
        apply(plan, cluster)


def test_undo_removes_what_was_made_and_restores_what_was_there(cluster: Cluster, namespace: str) -> None:
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"a": "1"}), manager="meshkit")
    change = apply(planned(cluster, [config(namespace, a="2"), config(namespace, "new", x="y")]), cluster)
    undo(change.id, cluster)
    assert data(cluster, namespace) == {"a": "1"}
    assert data(cluster, namespace, "new") is None
    with pytest.raises(BadInput, match="already undone"):
        undo(change.id, cluster)


def test_undo_gives_fields_back_to_whoever_owned_them(cluster: Cluster, namespace: str) -> None:
    theirs = obj(CONFIG_MAP, "settings", namespace, data={"a": "1"})
    cluster.api.apply(theirs, manager="argocd")
    part = Step(obj(CONFIG_MAP, "settings", namespace, data={"b": "2"}), manager="meshkit-part", partial=True)
    change = apply(planned(cluster, [part]), cluster)
    assert data(cluster, namespace) == {"a": "1", "b": "2"}
    undo(change.id, cluster)
    found = cluster.api.get(CONFIG_MAP, "settings", namespace)
    assert found is not None
    assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["argocd"]
    theirs["data"] = {"a": "3", "b": "3"}
    assert cluster.api.apply(theirs, manager="argocd")["data"] == {"a": "3", "b": "3"}


def test_an_object_changed_twice_goes_back_to_its_first_state(cluster: Cluster, namespace: str) -> None:
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"a": "1"}), manager="user")
    parts = [
        Step(obj(CONFIG_MAP, "settings", namespace, data={key: "x"}), manager=f"meshkit-{key}", partial=True)
        for key in "bc"
    ]
    change = apply(planned(cluster, parts), cluster)
    assert data(cluster, namespace) == {"a": "1", "b": "x", "c": "x"}
    undo(change.id, cluster)
    assert data(cluster, namespace) == {"a": "1"}


def test_undo_refuses_what_others_changed_since_and_touches_nothing(cluster: Cluster, namespace: str) -> None:
    change = apply(planned(cluster, [config(namespace, a="1"), config(namespace, "other", a="1")]), cluster)
    cluster.api.merge_patch(CONFIG_MAP, "settings", namespace, {"data": {"a": "9"}}, manager="argocd")
    with pytest.raises(ManualActionRequired, match=f"ConfigMap {namespace}/settings \\(by argocd\\)"):
        undo(change.id, cluster)
    assert data(cluster, namespace) == {"a": "9"}
    assert data(cluster, namespace, "other") == {"a": "1"}


def test_a_failed_step_takes_the_ones_before_it_back(cluster: Cluster, namespace: str) -> None:
    late = Step(
        obj(Kind("apps/v1", "Deployment"), "late", namespace, spec=deployment()), wait=Wait("available", 0.5)
    )
    with pytest.raises(ChangeFailed, match=r"was not available after 0\.5 s: 0 of 1 replicas") as raised:
        apply(planned(cluster, [config(namespace, a="1"), late]), cluster)
    assert isinstance(raised.value.__cause__, TimedOut)
    assert raised.value.undone
    assert data(cluster, namespace) is None
    assert next(c for c in history(cluster) if c.id == raised.value.change_id).state == "undone"


def test_an_answer_that_was_lost_is_taken_for_a_change(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(cluster, [config(namespace, a="1")])
    apply_object = Api.apply

    def lose_the_answer(api: Api, obj: Any, *, dry_run: bool = False, **named: Any) -> Any:
        answer = apply_object(api, obj, dry_run=dry_run, **named)
        if obj["kind"] == "ConfigMap" and not dry_run:
            raise Unreachable("no answer", remedy="")
        return answer

    monkeypatch.setattr(Api, "apply", lose_the_answer)
    with pytest.raises(ChangeFailed, match="completed steps were undone"):
        apply(plan, cluster)
    assert data(cluster, namespace) is None


def test_a_step_that_the_server_refuses_at_last_has_changed_nothing(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(cluster, [config(namespace, a="1")])
    apply_object = Api.apply

    def refuse(api: Api, obj: Any, *, dry_run: bool = False, **named: Any) -> Any:
        if obj["kind"] == "ConfigMap" and not dry_run:
            raise Forbidden("no more", remedy="", status=403)
        return apply_object(api, obj, dry_run=dry_run, **named)

    monkeypatch.setattr(Api, "apply", refuse)
    with pytest.raises(Forbidden, match="no more"):
        apply(plan, cluster)
    assert history(cluster)[0].state == "failed"


def test_a_change_that_was_killed_half_way_can_be_undone_by_anyone(cluster: Cluster, namespace: str) -> None:
    def killed(progress: Progress) -> None:
        if progress.index == 2:
            raise KeyboardInterrupt

    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"a": "1"}))
    plan = planned(cluster, [config(namespace, a="2"), config(namespace, "never")])
    with pytest.raises(KeyboardInterrupt):
        apply(plan, cluster, progress=killed)
    left = history(cluster)[0]
    assert left.state == "open"
    undo(left.id, cluster)
    assert data(cluster, namespace) == {"a": "1"}


def test_a_change_that_was_killed_half_way_goes_on_with_what_is_left(
    cluster: Cluster, namespace: str
) -> None:
    def killed(progress: Progress) -> None:
        if progress.index == 2:
            raise KeyboardInterrupt

    steps = [config(namespace, a="1"), config(namespace, "second", a="1"), config(namespace, "third", a="1")]
    with pytest.raises(KeyboardInterrupt):
        apply(planned(cluster, steps), cluster, progress=killed)
    left = planned(cluster, steps)
    assert [one.step.title.rpartition("/")[2] for one in left.steps] == ["second", "third"]
    apply(left, cluster)
    assert planned(cluster, steps).empty


def deployment() -> dict[str, Any]:
    """One whose pod never runs: no node is what it asks for."""
    spec = {"nodeSelector": {"no": "node"}, "containers": [{"name": "main", "image": "example.invalid/none"}]}
    template = {"metadata": {"labels": {"app": "late"}}, "spec": spec}
    return {"replicas": 1, "selector": {"matchLabels": {"app": "late"}}, "template": template}


def test_a_namespace_of_the_plan_is_checked_first_and_its_objects_after(
    cluster: Cluster, namespace: str
) -> None:
    name = f"{namespace}-new"
    plan = planned(cluster, [Step(obj(Kind("v1", "Namespace"), name)), config(name, a="1")])
    assert "checked when step 1 is done" in str(plan)
    change = apply(plan, cluster)
    assert data(cluster, name) == {"a": "1"}
    assert undo(change.id, cluster).kept == ()
    assert cluster.api.get(Kind("v1", "Namespace"), name) is None


def test_an_object_refused_at_its_own_step_undoes_the_namespace(cluster: Cluster, namespace: str) -> None:
    name = f"{namespace}-new"
    wrong = Step(obj(SERVICE, "web", name, spec={"ports": [{"port": 99999999}]}))
    with pytest.raises(ChangeFailed) as raised:
        apply(planned(cluster, [Step(obj(Kind("v1", "Namespace"), name)), wrong]), cluster)
    assert isinstance(raised.value.__cause__, Rejected)
    assert cluster.api.get(Kind("v1", "Namespace"), name) is None


def test_undo_keeps_a_namespace_that_holds_something_of_others(cluster: Cluster, namespace: str) -> None:
    name = f"{namespace}-new"
    change = apply(planned(cluster, [Step(obj(Kind("v1", "Namespace"), name)), config(name, a="1")]), cluster)
    cluster.api.apply(obj(CONFIG_MAP, "theirs", name), manager="somebody")
    kept = undo(change.id, cluster).kept
    assert kept == (f"Namespace {name} stays: it holds ConfigMap {name}/theirs.",)
    assert data(cluster, name) is None
    assert cluster.api.get(Kind("v1", "Namespace"), name) is not None
    cluster.api.delete(Kind("v1", "Namespace"), name)


def definition(kind: str) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": "contract.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    return obj(DEFINITION, f"{plural}.contract.dev", spec=spec)


def test_undo_keeps_a_definition_that_has_objects_of_others(cluster: Cluster, namespace: str) -> None:
    kind = Kind("contract.dev/v1", "Kept")
    made = Step(definition("Kept"), wait=Wait("established", 10))
    own = Step(obj(kind, "mine", namespace, spec={"a": 1}))
    plan = planned(cluster, [made, own])
    assert "checked when step 1 is done" in str(plan)
    change = apply(plan, cluster)
    cluster.api.apply(obj(kind, "theirs", namespace), manager="somebody")
    result = undo(change.id, cluster)
    assert result.kept == (
        f"CustomResourceDefinition kepts.contract.dev stays: it holds Kept {namespace}/theirs.",
    )
    assert cluster.api.get(kind, "mine", namespace) is None
    assert cluster.api.get(kind, "theirs", namespace) is not None
    cluster.api.delete(DEFINITION, "kepts.contract.dev")


def test_undo_removes_a_definition_that_only_the_change_used(cluster: Cluster, namespace: str) -> None:
    own = Step(obj(Kind("contract.dev/v1", "Gone"), "mine", namespace, spec={"a": 1}))
    plan = planned(cluster, [Step(definition("Gone"), wait=Wait("established", 10)), own])
    assert undo(apply(plan, cluster).id, cluster).kept == ()
    assert cluster.api.get(DEFINITION, "gones.contract.dev") is None


def test_a_secret_is_restored_but_never_written_down(cluster: Cluster, namespace: str) -> None:
    planted = "cGxhbnRlZC1wYXNzd29yZA=="
    cluster.api.apply(obj(SECRET, "login", namespace, data={"password": planted}), manager="meshkit")
    plan = planned(cluster, [Step(obj(SECRET, "login", namespace, data={"password": "bmV3LXBhc3N3b3Jk"}))])
    shown = str(plan) + plan_table(plan) + plan.to_json()
    change = apply(plan, cluster)
    journal = json.dumps(Journal(cluster).records(change.id))
    maps = json.dumps(cluster.api.list(CONFIG_MAP, NAMESPACE))
    for secret in (planted, "planted-password", "bmV3LXBhc3N3b3Jk", "new-password"):
        assert secret not in shown + journal + maps
    undo(change.id, cluster)
    restored = cluster.api.get(SECRET, "login", namespace)
    assert restored is not None
    assert restored["data"] == {"password": planted}


def test_a_secret_is_not_in_errors_logs_or_their_causes(
    cluster: Cluster, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    planted = "planted-password"
    wrong = obj(SECRET, "login", namespace, data={"password": planted}, selektor={"a": planted})
    with pytest.raises(Rejected) as refused:
        planned(cluster, [Step(wrong)])
    encoded = "cGxhbnRlZC1wYXNzd29yZA=="
    cluster.api.apply(obj(SECRET, "login", namespace, data={"password": encoded}), manager="argocd")
    taken = Step(obj(SECRET, "login", namespace, data={"password": "bmV3LXBhc3N3b3Jk"}))
    with pytest.raises(Conflict) as conflict:
        planned(cluster, [taken])
    causes = f"{refused.value.__cause__} {conflict.value.__cause__}"
    told = f"{refused.value} {conflict.value} {causes} {caplog.text}"
    for secret in (planted, encoded, "bmV3LXBhc3N3b3Jk"):
        assert secret not in told


def test_a_lost_copy_of_a_secret_is_no_reason_to_delete_it(cluster: Cluster, namespace: str) -> None:
    cluster.api.apply(obj(SECRET, "login", namespace, data={"a": "b2xk"}), manager="meshkit")
    change = apply(planned(cluster, [Step(obj(SECRET, "login", namespace, data={"a": "bmV3"}))]), cluster)
    cluster.api.delete(SECRET, f"prior-{change.id}-1", NAMESPACE)
    with pytest.raises(ManualActionRequired, match="prior state of a Secret is missing"):
        undo(change.id, cluster)
    assert cluster.api.get(SECRET, "login", namespace) is not None


def test_rights_are_asked_for_before_the_first_change(
    cluster: Cluster, as_account: Callable[..., Cluster], namespace: str
) -> None:
    plan = planned(cluster, [config(namespace, a="1")])
    nobody = as_account("nobody")
    with pytest.raises(Forbidden, match=f"nobody may not .*create, .*configmaps in {namespace}"):
        apply(plan, nobody)
    assert data(cluster, namespace) is None


def test_a_plan_is_for_the_cluster_it_was_made_on(cluster: Cluster, namespace: str) -> None:
    plan = planned(cluster, [config(namespace, a="1")])
    elsewhere = Cluster("elsewhere", "https://elsewhere.invalid", cluster.api)
    with pytest.raises(BadInput, match="it was made for"):
        apply(plan, elsewhere)


def test_a_part_of_an_object_that_is_not_there_is_refused(cluster: Cluster, namespace: str) -> None:
    part = Step(obj(CONFIG_MAP, "none", namespace, data={"a": "1"}), manager="meshkit-part", partial=True)
    with pytest.raises(Rejected, match=f"ConfigMap {namespace}/none does not exist"):
        planned(cluster, [part])


def taken(step: Step) -> Step:
    return Step(step.object, removed=True)


def test_an_object_is_taken_away_and_an_undo_brings_it_back_with_its_owners(
    cluster: Cluster, namespace: str
) -> None:
    step = config(namespace, a="1")
    apply(planned(cluster, [step]), cluster)
    cluster.api.apply(obj(CONFIG_MAP, "settings", namespace, data={"b": "2"}), manager="argocd")
    plan = planned(cluster, [taken(step), taken(config(namespace, "none"))])
    assert [one.action for one in plan.steps] == ["remove"]

    gone = apply(plan, cluster)
    assert data(cluster, namespace) is None
    undo(gone.id, cluster)
    assert data(cluster, namespace) == {"a": "1", "b": "2"}
    with pytest.raises(Conflict, match="argocd owns"):
        planned(cluster, [config(namespace, a="1", b="3")])


def test_a_namespace_that_others_have_filled_meanwhile_stays(cluster: Cluster, namespace: str) -> None:
    apply(planned(cluster, [config(namespace, a="1")]), cluster)
    home = Step({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, removed=True)
    plan = planned(cluster, [taken(config(namespace, a="1")), home])
    cluster.api.apply(obj(CONFIG_MAP, "theirs", namespace, data={}), manager="kubectl")

    gone = apply(plan, cluster)
    assert gone.kept == (f"Namespace {namespace} stays: it holds ConfigMap {namespace}/theirs.",)
    assert data(cluster, namespace) is None
    assert cluster.api.get(CONFIG_MAP, "theirs", namespace) is not None


def test_what_was_taken_away_is_back_when_a_later_step_fails(cluster: Cluster, namespace: str) -> None:
    step = config(namespace, a="1")
    apply(planned(cluster, [step, config(namespace, "other", a="1")]), cluster)
    plan = planned(cluster, [taken(step), config(namespace, "other", a="2")])
    cluster.api.apply(obj(CONFIG_MAP, "other", namespace, data={"c": "3"}), manager="kubectl")
    with pytest.raises(ChangeFailed):
        apply(plan, cluster)
    assert data(cluster, namespace) == {"a": "1"}


def test_a_secret_that_is_taken_away_is_in_no_journal_and_comes_back(
    cluster: Cluster, namespace: str
) -> None:
    secret = Step(obj(SECRET, "login", namespace, data={"a": "cGxhbnRlZC1zZWNyZXQ="}))
    apply(planned(cluster, [secret]), cluster)
    gone = apply(planned(cluster, [taken(secret)]), cluster)
    assert "cGxhbnRlZC1zZWNyZXQ=" not in json.dumps(Journal(cluster).records(gone.id))
    undo(gone.id, cluster)
    live = cluster.api.get(SECRET, "login", namespace)
    assert live is not None
    assert live["data"] == {"a": "cGxhbnRlZC1zZWNyZXQ="}
