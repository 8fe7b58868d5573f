"""A mesh is one folder behind one protocol: no other code knows its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshkit.meshes.registry import MESHES
from meshkit.sandbox.control_planes.registry import DATA_PLANES
from tests.architecture.source import PACKAGE, modules, name, tree

HOMES = ("meshes", "sandbox/control_planes")
"""Where a mesh has a folder of its own. What stands beside these folders knows no mesh but for a table."""
TABLES = {"meshkit/meshes/registry.py", "meshkit/sandbox/control_planes/registry.py"}
NAMES = frozenset(MESHES)
GENERATOR = "meshkit/meshes/generate.py"
"""A tool that packs published definitions into the folders of meshes; no part of the library imports it."""


def is_home(path: Path) -> bool:
    """Whether a file is in the folder of one mesh."""
    return any(path.is_relative_to(PACKAGE / home / mesh) for home in HOMES for mesh in NAMES)


GENERAL_MODULES = [path for path in modules() if not is_home(path)]
"""Every file outside the folders of meshes."""


def decisions_by_name(module: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each place where a mesh's name decides something: a comparison, a key of a table, a
    subscript, a case, a default of a parameter.
    """
    for node in ast.walk(module):
        found: list[ast.AST | None] = []
        match node:
            case ast.Compare():
                found = [node.left, *node.comparators]
            case ast.Dict():
                found = list(node.keys)
            case ast.Subscript():
                found = [node.slice]
            case ast.MatchValue():
                found = [node.value]
            case ast.arguments():
                found = [*node.defaults, *node.kw_defaults]
            case ast.AnnAssign(value=ast.Constant()) | ast.Assign(value=ast.Constant()):
                found = [node.value]
            case ast.Call():
                found = [each.value for each in node.keywords if each.arg == "default"]
                if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "startswith"):
                    found += node.args
        for each in found:
            for mesh in _names(each):
                yield node.lineno if hasattr(node, "lineno") else each.lineno, mesh  # type: ignore[union-attr]


def _names(node: ast.AST | None) -> Iterator[str]:
    """The names of meshes that an operand is, also in a tuple, list or set of constants."""
    if isinstance(node, ast.Constant) and node.value in NAMES:
        yield str(node.value)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for each in node.elts:
            yield from _names(each)


def imported(module: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports, for type checkers too."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_decision_is_made_by_the_name_of_a_mesh() -> None:
    for path in GENERAL_MODULES:
        if name(path) != GENERATOR:
            found = [f"line {line}: {mesh}" for line, mesh in decisions_by_name(tree(path))]
            assert not found, f"{name(path)}: {found}; add what differs to meshes/base.py"


def test_only_the_tables_import_the_folder_of_a_mesh() -> None:
    homes = tuple(f"meshkit.{home.replace('/', '.')}.{mesh}" for home in HOMES for mesh in NAMES)
    for path in GENERAL_MODULES:
        if name(path) not in TABLES:
            found = {
                each
                for each in imported(tree(path))
                if any(each == home or each.startswith(f"{home}.") for home in homes)
            }
            assert not found, f"{name(path)} imports {found}"


def test_the_sandbox_has_a_data_plane_for_every_mesh() -> None:
    assert set(DATA_PLANES) == set(MESHES)


@pytest.mark.parametrize(
    "text",
    [
        'mesh == "istio"',
        '"linkerd" != mesh',
        'mesh in ("istio", "linkerd")',
        'x = {"istio": 1}',
        'table["linkerd"]',
        'table.get("istio")',
        'match mesh:\n    case "istio":\n        pass',
        'def f(mesh: str = "istio"): ...',
        'def f(*, mesh="istio"): ...',
        'class A:\n    mesh: str = "istio"',
        'option("--mesh", default="istio")',
        'MESH = "linkerd"',
    ],
)
def test_the_rule_finds_it(text: str) -> None:
    assert list(decisions_by_name(ast.parse(text)))


@pytest.mark.parametrize("text", ['"""Like istio."""', 'help("istio or linkerd")', 'f(mesh="linkerd")'])
def test_the_rule_lets_words_pass(text: str) -> None:
    assert not list(decisions_by_name(ast.parse(text)))
