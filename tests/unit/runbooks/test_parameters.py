"""The parameters cell is read as it is written, and values are converted before papermill sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit.errors import BadInput, UnknownName
from meshkit.runbooks.parameters import (
    convert_parameters,
    parameters_of,
    read_parameter_file,
    read_parameters,
)

CELL = """\
mesh: str = "istio"  # istio or linkerd
replicas: int = 3  # replicas # of each component
steps: list[float] = [1, 5.5, 100]  # shares in percent
restart: bool = True  # restart the workloads
"""


def test_a_line_gives_name_type_default_and_help() -> None:
    found = read_parameters(CELL)
    assert [(p.name, p.type, p.default) for p in found] == [
        ("mesh", "str", "istio"),
        ("replicas", "int", 3),
        ("steps", "list[float]", [1, 5.5, 100]),
        ("restart", "bool", True),
    ]
    assert found[1].help == "replicas # of each component"


def test_a_hash_in_a_default_is_no_help() -> None:
    (found,) = read_parameters('colour: str = "#fff"  # a colour')
    assert (found.default, found.help) == ("#fff", "a colour")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("mesh = 'istio'", "not a typed parameter"),
        ("import os", "not a typed parameter"),
        ("mesh: str", "no default"),
        ("mesh: Mesh = 1", "'Mesh' is not known"),
    ],
)
def test_what_is_no_typed_parameter_is_refused(source: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        read_parameters(source)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("mesh", "1.10", "1.10"),
        ("replicas", "5", 5),
        ("steps", "0.5,10, 100", [0.5, 10.0, 100.0]),
        ("steps", "[0.5, 100]", [0.5, 100.0]),
        ("restart", "no", False),
        ("restart", "True", True),
    ],
)
def test_a_value_is_converted_by_its_declared_type(name: str, given: str, value: object) -> None:
    converted = convert_parameters(read_parameters(CELL), {name: given})
    assert converted == {name: value}
    assert type(converted[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "given"), [("replicas", "3.5"), ("replicas", "x"), ("steps", "a,b"), ("restart", "maybe")]
)
def test_an_ill_typed_value_names_the_parameter(name: str, given: str) -> None:
    with pytest.raises(BadInput, match=name):
        convert_parameters(read_parameters(CELL), {name: given})


def test_an_unknown_name_proposes_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'replicas'"):
        convert_parameters(read_parameters(CELL), {"replica": "3"})


def test_a_name_cannot_carry_code() -> None:
    with pytest.raises(UnknownName):
        convert_parameters(read_parameters(CELL), {"x; print('injected')#": "1"})


def test_a_notebook_without_the_cell_has_no_parameters() -> None:
    assert parameters_of([{"metadata": {}, "source": CELL}]) == ()


def test_a_file_of_parameters_is_read_as_a_person_would_type_it(tmp_path: Path) -> None:
    file = tmp_path / "production.yaml"
    file.write_text("mesh: linkerd\nreplicas: 5\nsteps: [1, 50, 100]\nrestart: no\n")
    given = read_parameter_file(file)
    assert convert_parameters(read_parameters(CELL), given) == {
        "mesh": "linkerd",
        "replicas": 5,
        "steps": [1.0, 50.0, 100.0],
        "restart": False,
    }


def test_a_version_in_a_file_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "production.yaml"
    file.write_text("mesh: 1.10\n")
    assert read_parameter_file(file) == {"mesh": "1.10"}


ALIASES = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 8))])


@pytest.mark.parametrize("text", ["- a\n", "mesh: {a: b}\n", "mesh: [\n", "", "mesh: \xe4\n", ALIASES])
def test_a_file_that_holds_no_parameters_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "production.yaml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(BadInput, match=r"production\.yaml"):
        read_parameter_file(file)
