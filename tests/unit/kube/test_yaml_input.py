"""YAML from users is read with the types of JSON, and what expands without end is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from meshkit.errors import BadInput
from meshkit.kube import yaml_input
from meshkit.kube.documents import read_objects

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
MERGE_BOMB = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("since: 2024-01-31", {"since": "2024-01-31"}),
        ("since: 2024-99-99", {"since": "2024-99-99"}),
        ("mode: 1:59:59", {"mode": "1:59:59"}),
        ("mode: " + "1:59" + ":59" * 3000, {"mode": "1:59" + ":59" * 3000}),
        ("data: !!binary aGk=", {"data": "aGk="}),
        ("8080: {true: a}", {"8080": {"true": "a"}}),
        ("a: =", {"a": "="}),
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a", {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}),
        ("[1, 0x1f, 1.5, yes, ~]", [1, 31, 1.5, True, None]),
        ("---\n---\na: 1\n---\n", {"a": 1}),
    ],
)
def test_values_have_the_types_of_json(text: str, value: object) -> None:
    assert yaml_input.load(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "its aliases expand to more than 100000 values"),
        (MERGE_BOMB, "its aliases expand to more than 100000 values"),
        ("namespace: &a [*a]", "the value of an anchor contains itself"),
        ("[" * 200_000, "it is nested more than 100 deep"),
        ("- " * 101 + "x", "it is nested more than 100 deep"),
        ("? [a, b]\n: 1", "a key is a text, not a list or a mapping"),
        ("port: " + "9" * 5000, "the number has more than 40 digits"),
        ("weight: .inf", ".inf is no number of JSON"),
        ("weight: !!float x", "a value does not fit its tag"),
        ("weight: !!int ''", "a value does not fit its tag"),
        ("mode: !!bool x", "a value does not fit its tag"),
        ("a: '\ud800'", "it holds half of a surrogate pair"),
        ("a: 1\n---\nb: 1", "a second document begins here"),
    ],
)
def test_what_cannot_be_read_raises_an_error_of_yaml(text: str, problem: str) -> None:
    with pytest.raises(yaml.YAMLError, match=problem):
        yaml_input.load(text)


def test_aliases_that_nest_too_deep_together_are_refused() -> None:
    levels = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 120))
    with pytest.raises(yaml_input.Refused, match="its aliases nest it more than 100 deep"):
        yaml_input.load(levels)


def test_an_object_may_have_a_date_as_an_annotation(tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {since: 2024-01-31}}}")
    assert read_objects([file])[0]["metadata"]["annotations"] == {"since": "2024-01-31"}


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]", "? [a]\n: 1", "[" * 5000, "port: " + "9" * 5000])
def test_a_file_of_objects_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"service\.yaml line \d+"):
        read_objects([file])


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{apiVersion: v1, kind: Service, metadata: {name: a, namespace: [x]}}", "metadata.namespace"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: 7}}", "spec.ports"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: x}}", "spec.selector"),
        (
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: x}}",
            "spec.replicas",
        ),
        (
            "{apiVersion: v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {containers: x}}}}",
            "spec.template.spec.containers",
        ),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}, status: 5}", "status"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "object.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=rf"object\.yaml line 1: {field}: it is no "):
        read_objects([file])


@pytest.mark.parametrize("value", ["!!int x", "!!float x", "!!bool x", "0x_", "0b_", "[1, 0x_]"])
def test_a_value_that_does_not_fit_its_tag_is_named_by_its_line(value: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml_input.load(f"kind: Route\nnamespace: shop\nport: {value}\n")
    assert yaml_input.problem_in(caught.value)[0] == "line 3"


def test_an_intent_among_objects_names_the_command_for_it(tmp_path: Path) -> None:
    (tmp_path / "route.yaml").write_text("kind: Route\nnamespace: shop\n")
    with pytest.raises(BadInput, match=r"line 1: apiVersion: .* intents, are for 'meshkit plan -f'"):
        list(read_objects([tmp_path / "route.yaml"]))


def test_an_item_of_a_list_is_named_by_the_line_of_its_field(tmp_path: Path) -> None:
    first = "- {apiVersion: v1, kind: Pod, metadata: {name: a}}"
    second = "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: 5\n"
    (tmp_path / "list.yaml").write_text(f"# two\n---\napiVersion: v1\nkind: List\nitems:\n{first}\n{second}")
    with pytest.raises(BadInput, match=r"list\.yaml line 10: metadata\.name: it is missing or no text"):
        read_objects([tmp_path / "list.yaml"])
