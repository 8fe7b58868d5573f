"""Every shipped runbook is stripped, short, typed, documented, and built of public names only."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
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


CHANGING = {"apply", "enforce_access", "undo", "upgrade_back", "deploy_shop", "route_shop", "send_command"}
"""Functions of the library, and methods of its setup, that change a cluster."""


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda p: p.stem)
def test_what_changes_a_cluster_is_dry_without_apply(path: Path) -> None:
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells(path)))
    changing = list(unguarded(tree, guarded=False))
    assert not changing, f"these run without apply: {changing}"
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) in CHANGING]
    applies = [each for each in read_runbook(path).parameters if each.name == "apply"]
    assert [each.default for each in applies] == ([False] if calls else [])


def unguarded(node: ast.AST, *, guarded: bool) -> Iterator[str]:
    """The calls that change a cluster, and run whether or not ``apply`` is set."""
    if changes(node) and not guarded:
        yield ast.unparse(node)
    for child in ast.iter_child_nodes(node):
        within = isinstance(node, ast.If | ast.IfExp) and demands_apply(node.test)
        body = node.body if isinstance(node, ast.If | ast.IfExp) else ()
        inside = child in body if isinstance(body, list) else child is body
        yield from unguarded(child, guarded=guarded or (within and inside))


def demands_apply(test: ast.expr) -> bool:
    """Whether a condition is false wherever ``apply`` is: ``apply``, or ``apply and ...``."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(demands_apply, test.values))
    return isinstance(test, ast.Name) and test.id == "apply"


def changes(node: ast.AST) -> bool:
    """Whether a node calls what changes a cluster, other than with ``dry_run=not apply``."""
    if not isinstance(node, ast.Call):
        return False
    dry = [ast.unparse(each.value) for each in node.keywords if each.arg == "dry_run"]
    return called(node) in CHANGING and dry != ["not apply"]


def called(call: ast.Call) -> str:
    """The name of the method that a call calls."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("mk.apply(plan)", ["mk.apply(plan)"]),
        ("if apply:\n    mk.apply(plan)", []),
        ("if apply:\n    pass\nelse:\n    mk.undo(change)", ["mk.undo(change)"]),
        ("x = setup.apply(plan) if apply else ''", []),
        ("x = '' if apply else setup.apply(plan)", ["setup.apply(plan)"]),
        ("if apply or retire:\n    mk.apply(plan)", ["mk.apply(plan)"]),
        ("mk.undo(change, dry_run=not apply)", []),
    ],
)
def test_a_change_without_apply_would_be_found(source: str, found: list[str]) -> None:
    assert list(unguarded(ast.parse(source), guarded=False)) == found


def test_each_runbook_says_what_it_does() -> None:
    for runbook in find_runbooks():
        assert runbook.title
        assert runbook.summary.endswith(".")
