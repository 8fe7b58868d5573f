"""The plan as a table: nothing hidden, foreign owners marked, Secrets not shown."""

from __future__ import annotations

from typing import Any

from meshkit.cluster.diff import FieldChange
from meshkit.cluster.steps.dry_run import Action, PlannedStep
from meshkit.kube.steps import Step
from meshkit.operations.plan import Plan
from meshkit.views.plan_html import plan_card


def planned(kind: str, name: str, action: Action, *changes: FieldChange, **body: Any) -> PlannedStep:
    obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **body}
    return PlannedStep(Step(obj), action, changes)


def card(*steps: PlannedStep) -> str:
    return plan_card(Plan("Test", "istio", "sandbox", "https://127.0.0.1", steps, unchanged=1))


def test_a_changed_field_shows_before_after_and_owner() -> None:
    text = card(planned("Thing", "a", "change", FieldChange("spec.mode", "OFF", "ON", ("meshkit",))))
    assert "<del>OFF</del> → <ins>ON</ins>" in text
    assert "~ 1 changed" in text
    assert "belongs to" not in text


def test_a_field_of_somebody_else_is_marked_and_told() -> None:
    text = card(planned("Thing", "a", "change", FieldChange("spec.mode", "OFF", "ON", ("argocd",))))
    assert "belongs to <code>argocd</code>" in text


def test_a_new_object_is_taken_apart_to_its_fields() -> None:
    change = FieldChange("spec", None, {"hosts": ["web"], "http": [{"name": "primary"}]})
    text = card(planned("Thing", "a", "create", FieldChange("kind", None, "Thing"), change))
    assert "+ 2 added" in text
    assert "spec.<wbr>http<wbr>[0].<wbr>name" in text
    assert "nobody" in text


def test_many_new_objects_of_a_kind_are_one_line_with_all_their_names() -> None:
    text = card(*(planned("Thing", name, "create") for name in ("first", "second", "third")))
    assert "1–3. 3 Things, new" in text
    assert all(name in text for name in ("first", "second", "third"))


def test_a_secret_is_not_shown() -> None:
    text = card(planned("Secret", "a", "create", stringData={"token": "hunter2"}))
    assert "hunter2" not in text


def test_values_are_escaped() -> None:
    text = card(planned("Thing", "a", "change", FieldChange("spec.x", "", "<script>alert(1)</script>")))
    assert "<script>" not in text


def test_nothing_to_do_is_a_sentence() -> None:
    assert "Nothing to do: 1 object is as it should be." in card()
