"""Every shipped runbook is stripped, short, typed, documented, and built of public names only."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import meshkit as mk
from meshkit.runbooks.catalogue import find_runbooks, read_runbook, shipped_folder

RUNBOOKS = sorted(shipped_folder("runbooks").glob("*.ipynb"))
NOTEBOOKS = RUNBOOKS + sorted(shipped_folder("notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def is_parameters(cell: dict[str, Any]) -> bool:
    return "parameters" in cell["metadata"].get("tags", ())


def test_there_are_runbooks_and_notebooks() -> None:
    assert {path.stem for path in RUNBOOKS} >= {
        "install_control_plane",
        "onboard_namespace",
        "enforce_mtls",
        "release",
    }
    assert "00_start_here" in {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda p: p.stem)
def test_parameters_are_typed_documented_and_of_their_type(path: Path) -> None:
    runbook = read_runbook(path)
    assert runbook.parameters
    for parameter in runbook.parameters:
        assert parameter.help, f"{parameter.name} has no help"
        given = parameter.default
        text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
        assert parameter.convert(text) == given


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda p: p.stem)
def test_papermill_reads_each_line_of_the_parameters(path: Path) -> None:
    """It takes a line with a second equals sign, even in its comment, for none of a parameter, and warns."""
    (cell,) = filter(is_parameters, cells(path))
    assert [line for line in cell["source"] if line.count("=") != 1] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stripped(path: Path) -> None:
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert set(json.loads(path.read_text())["metadata"]) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_are_short(path: Path) -> None:
    for cell in cells(path):
        if not is_parameters(cell):
            assert len(cell["source"]) <= 10, "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_only_public_names_are_used(path: Path) -> None:
    source = "\n".join("".join(cell["source"]) for cell in cells(path))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
            if isinstance(node.value, ast.Name) and node.value.id == "mk":
                assert node.attr in mk.__all__, f"mk.{node.attr} is not public"
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert ast.unparse(node) == "import meshkit as mk"


def test_each_runbook_says_what_it_does() -> None:
    for runbook in find_runbooks():
        assert runbook.title
        assert runbook.summary.endswith(".")
