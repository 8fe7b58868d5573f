"""A form made from an intent gives that intent back, and says what a mesh cannot do."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets
import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.intent.balancing import OutlierDetection
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.rules import Match, Retries, Rule, TextMatch
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.meshes.registry import MESHES
from meshkit.views.setup.form import IntentForm
from tests.unit.views_wizard.intents import ROUTE

ACCESS = Access(namespace="shop", service="web", callers=(Caller(namespace="shop"),), paths=("/api/*",))
BARE = {"matches": (), "selector": None}


@pytest.mark.parametrize(
    "intent",
    [ControlPlane(), Injection(namespace="shop"), MutualTLS(namespace="shop", mode="strict"), ROUTE, ACCESS],
    ids=lambda each: type(each).__name__,
)
def test_what_is_shown_is_what_is_read(intent: Intent) -> None:
    assert IntentForm(intent, {}).read() == intent


def test_a_number_keeps_to_the_limits_of_its_field() -> None:
    form = IntentForm(ControlPlane(), {})
    form._inputs["replicas"].widget.value = 99
    assert form.read() == ControlPlane(replicas=50)


def test_a_mapping_may_be_the_path_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("global: {hub: registry.example/istio}\n")
    form = IntentForm(ControlPlane(charts="published"), {})
    form._inputs["values"].widget.value = str(path)
    assert form.read() == ControlPlane(
        charts="published", values={"global": {"hub": "registry.example/istio"}}
    )
    form._inputs["values"].widget.value = "{global: {hub: other.example}}"
    assert form.read() == ControlPlane(charts="published", values={"global": {"hub": "other.example"}})


def test_a_wrong_value_names_its_field() -> None:
    form = IntentForm(ROUTE, {})
    form._inputs["split"].entries[1].value.value = 20
    with pytest.raises(BadInput, match=r"route\.split: the weights sum to 110"):
        form.read()
    access = IntentForm(ACCESS, {})
    access._inputs["paths"].widget.value = "[/api"
    with pytest.raises(BadInput, match=r"paths: '\[/api' cannot be read"):
        access.read()


def test_what_the_mesh_cannot_do_is_closed_and_says_why() -> None:
    reason = "Linkerd cannot do this. Leave it out."
    form = IntentForm(ROUTE, {"fault": reason})
    assert form._inputs["fault"].widget.disabled
    form.lock(False)
    assert form._inputs["fault"].widget.disabled
    helps = [row.children[1].value for row in form.children]
    assert sum(reason in text for text in helps) == 1


def test_a_choice_that_the_mesh_lacks_is_not_offered() -> None:
    form = IntentForm(MutualTLS(mode="strict"), {"mode: disable": "Linkerd always offers it."})
    dropdown = form._inputs["mode"].widget
    assert isinstance(dropdown, widgets.Dropdown)
    assert list(dropdown.options) == ["permissive", "strict"]


def test_only_a_person_changes_a_form() -> None:
    changes: list[int] = []
    form = IntentForm(Injection(namespace="shop"), {}, lambda: changes.append(1))
    form.fill(Injection(namespace="shop", at_once=5))
    assert (changes, form.read()) == ([], Injection(namespace="shop", at_once=5))
    form._inputs["at_once"].widget.value = 3
    assert changes == [1]


def test_every_input_has_a_label_and_a_help() -> None:
    rows = list(IntentForm(ROUTE, {}).children)
    for row in rows:
        field, hint, *part = row.children
        nested = [each for box in part for each in box.children]
        entries = [each for each in nested if "mk-form-entry" in each._dom_classes]
        rows += [each for each in nested if each not in entries]
        inputs = [each for entry in entries for each in entry.children]
        rows += [each for each in inputs if isinstance(each, widgets.VBox)]
        assert all(each.description for each in inputs if not isinstance(each, widgets.VBox))
        assert field.description
        assert len(hint.value) > len('<span class="mk-muted"></span>')


def test_shares_are_sliders_and_rules_and_versions_are_rows() -> None:
    form = IntentForm(ROUTE, {})
    split, versions, rules = (form._inputs[name] for name in ("split", "versions", "rules"))
    assert [type(entry.value) for entry in split.entries] == [widgets.FloatSlider] * 2
    versions.widget.click()
    versions.entries[2].fields.inputs["name"].widget.value = "v3"
    split.widget.click()
    split.entries[2].key.value = "v3"
    rules.widget.click()
    rule = rules.entries[0].fields.inputs
    rule["split"].widget.click()
    rule["split"].entries[0].key.value = "v3"
    rule["split"].entries[0].value.value = 100
    rule["matches"].widget.click()
    match = rule["matches"].entries[0].fields.inputs
    match["headers"].widget.click()
    match["headers"].entries[0].key.value = "x-user"
    match["headers"].entries[0].fields.inputs["present"].widget.value = "True"
    read = form.read()
    assert read.split == {"v1": 90, "v2": 10, "v3": 0}
    assert read.rules == (
        Rule(
            matches=(Match(headers={"x-user": TextMatch(present=True)}),),
            split={"v3": 100},
        ),
    )
    assert IntentForm(read, {}).read() == read


def test_a_row_is_removed_and_the_form_says_so() -> None:
    changes: list[int] = []
    form = IntentForm(ROUTE, {}, lambda: changes.append(1))
    form._inputs["matches"].entries[0].box.children[-1].click()
    assert changes == [1]
    assert form.read() == ROUTE.model_copy(update={"matches": ()})


def test_a_part_is_a_box_to_tick_with_inputs_of_its_own() -> None:
    form = IntentForm(ROUTE, {})
    outliers, faults = form._inputs["outlier_detection"], form._inputs["fault"]
    assert (outliers.widget.value, faults.widget.value) == (True, False)
    outliers.inputs["consecutive_5xx"].widget.value = 7
    assert form.read().outlier_detection == OutlierDetection(consecutive_5xx=7)
    outliers.widget.value = False
    assert form.read() == ROUTE.model_copy(update={"outlier_detection": None})
    outliers.inputs["base_ejection_s"].widget.value = "many"
    outliers.widget.value = True
    with pytest.raises(BadInput, match=r"route\.outlier_detection\.base_ejection_s"):
        form.read()


def test_what_stands_at_its_default_was_not_asked_of_the_mesh() -> None:
    form = IntentForm(ROUTE, {})
    form._inputs["outlier_detection"].inputs["consecutive_5xx"].widget.value = 7
    read = form.read()
    assert read.outlier_detection.model_fields_set == {"consecutive_5xx"}
    assert read.retries.model_fields_set == {"attempts"}
    MESHES["linkerd"].planner.plan(IntentForm(ROUTE.model_copy(update=BARE), {}).read(), Snapshot())


def test_a_part_that_was_not_set_begins_with_its_defaults() -> None:
    form = IntentForm(ROUTE.model_copy(update={"retries": None}), {})
    form._inputs["retries"].widget.value = True
    assert form.read().retries == Retries(attempts=0)


def test_a_person_changes_a_part_and_the_form_says_so() -> None:
    changes: list[int] = []
    form = IntentForm(ROUTE, {}, lambda: changes.append(1))
    form._inputs["retries"].inputs["attempts"].widget.value = 5
    assert changes == [1]
