"""Each package imports only packages to its left in the flow."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "meshkit"
FLOW = (
    ("errors", "settings", "facts", "version", "codes"),
    ("kube",),
    ("intent", "decide"),
    ("meshes",),
    ("checks",),
    ("cluster",),
    ("observe",),
    ("operations",),
    ("views",),
    ("runbooks",),
    ("demo",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(FLOW) for name in names}
MAY_IMPORT_SANDBOX = ("meshkit/cluster/connect.py", "meshkit/cli/", "meshkit/testing.py")
SANDBOX_MAY_IMPORT = {"errors", "settings", "version", "kube"}
MEANING_MAY_IMPORT = {"errors", "facts", "kube"}
IMPURE = {
    "asyncio",
    "http.client",
    "http.server",
    "kubernetes",
    "os",
    "random",
    "requests",
    "socket",
    "subprocess",
    "time",
    "urllib",
    "urllib3",
}
PURE = ("codes", "kube", "intent", "decide", "meshes", "checks")
CODES_MAY_IMPORT = {"codes", "errors", "facts"}
READS_ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}
MAY_READ_ENVIRONMENT = ("meshkit/settings.py", "meshkit/sandbox/workloads/")
"""A workload's variables are its container's, not the user's, and workloads import nothing of meshkit."""
DECIDE_MAY_IMPORT = {"meshkit"}  # and the standard library


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports anywhere in it, those for type checkers only excepted."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                walk(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "meshkit":
                found.update(f"meshkit.{alias.name}" for alias in node.names)
            else:
                found.add(node.module)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text()))
    return found


def is_meaning(parts: Sequence[str]) -> bool:
    """Whether a dotted name lies in a ``meaning`` package or in the model that all of them produce."""
    return parts[1:3] == ["meshes", "model"] or (parts[1] == "meshes" and "meaning" in parts)


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_flow(path: Path) -> None:
    here = layer(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "meshkit" or here in ("testing", "__init__"):
            continue
        there = parts[1] if len(parts) > 1 else "__init__"
        assert there != "testing", f"{path} imports testing"
        if here == "sandbox":
            allowed = there == "sandbox" or there in SANDBOX_MAY_IMPORT or is_meaning(parts)
            assert allowed, f"{path} imports {name}"
        elif there == "sandbox":
            assert str(path.relative_to(ROOT)).startswith(MAY_IMPORT_SANDBOX), f"{path} imports {name}"
        elif there != here:
            assert there in RANK, f"{name} has no place in the flow"
            assert RANK[there] <= RANK[here], f"{here} may not import {there} ({path})"


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if is_meaning(list(p.relative_to(ROOT).with_suffix("").parts))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_meaning_stands_on_the_ground_alone(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "meshkit":
            assert parts[1] in MEANING_MAY_IMPORT or is_meaning(parts), f"{path} imports {name}"


def test_packages_on_the_way_to_meaning_import_nothing() -> None:
    """The sandbox's daemon imports ``meshes.*.meaning`` and must start fast."""
    for name in (
        "",
        "istio",
        "linkerd",
        "gateway_api",
        "istio/checks",
        "istio/meaning",
        "linkerd/meaning",
        "model",
    ):
        assert not imports(PACKAGE / "meshes" / name / "__init__.py"), name


@pytest.mark.parametrize("package", PURE)
def test_pure_layers_do_no_io(package: str) -> None:
    for path in (PACKAGE / package).rglob("*.py"):
        if path.name.startswith("generate"):
            continue
        used = {name for name in imports(path) if {name, name.split(".")[0]} & IMPURE}
        assert not used, f"{path} imports {used}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if str(path.relative_to(ROOT)).startswith(MAY_READ_ENVIRONMENT):
        return
    tree = ast.parse(path.read_text())
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            used |= {f"os.{alias.name}" for alias in node.names}
    assert not used & READS_ENVIRONMENT, f"{path} reads the environment: ask meshkit.settings"


def test_a_command_declares_its_cluster_by_the_one_option() -> None:
    """No command declares --kubeconfig or --context by itself."""
    declared = [
        path.name
        for path in (PACKAGE / "cli").rglob("*.py")
        if {"--kubeconfig", "--context"}
        & {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    ]
    assert declared == ["output.py"]


def test_codes_stand_on_facts_alone() -> None:
    for path in (PACKAGE / "codes").glob("*.py"):
        used = {name.split(".")[1] for name in imports(path) if name.startswith("meshkit.")}
        assert used <= CODES_MAY_IMPORT, f"{path} imports {used - CODES_MAY_IMPORT}"


def test_checks_name_no_mesh() -> None:
    """What differs between meshes is a field of ``meshes.checks.MeshChecks``."""
    for path in (PACKAGE / "checks").rglob("*.py"):
        tree = ast.parse(path.read_text())
        strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not strings & {"istio", "linkerd"}, f"{path} knows a mesh by name"
        special = {
            name
            for name in imports(path)
            if name.startswith(("meshkit.meshes.istio", "meshkit.meshes.linkerd"))
        }
        assert not special, f"{path} imports {special}"


def test_operations_render_nothing() -> None:
    """How a plan or a status looks in a notebook is for views."""
    for path in (PACKAGE / "operations").rglob("*.py"):
        assert "html" not in imports(path), path
        assert "_repr_html_" not in path.read_text(), path


def test_decide_needs_only_the_standard_library() -> None:
    import sys

    for path in (PACKAGE / "decide").rglob("*.py"):
        foreign = {n.split(".")[0] for n in imports(path)} - set(sys.stdlib_module_names) - DECIDE_MAY_IMPORT
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_have_a_docstring_and_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path} does not say why it exists"
    assert text.count("\n") <= 500, f"{path} has more than one reason to exist: split it"
