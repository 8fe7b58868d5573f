"""Each package imports only packages to its left in the flow."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, modules, name, text, tree

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


@functools.cache
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

    walk(tree(path))
    return found


def is_meaning(parts: Sequence[str]) -> bool:
    """Whether a dotted name is in a ``meaning`` package or in the model that all of them produce."""
    return parts[1:3] == ["meshes", "model"] or (parts[1] == "meshes" and "meaning" in parts)


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def may_import(path: Path, imported: str) -> bool:
    """Whether the flow lets a module import a dotted name."""
    here, parts = layer(path), imported.split(".")
    if parts[0] != "meshkit" or here in ("testing", "__init__"):
        return True
    there = parts[1] if len(parts) > 1 else "__init__"
    if here == "sandbox":
        return there == "sandbox" or there in SANDBOX_MAY_IMPORT or is_meaning(parts)
    if there == "sandbox":
        return name(path).startswith(MAY_IMPORT_SANDBOX)
    return there == here or (there in RANK and RANK[there] <= RANK[here])


def test_imports_follow_the_flow() -> None:
    for path in modules():
        against = {imported for imported in imports(path) if not may_import(path, imported)}
        assert not against, f"{name(path)} imports {against}"


def test_meaning_stands_on_the_ground_alone() -> None:
    meaning = [path for path in modules() if is_meaning(name(path).removesuffix(".py").split("/"))]
    assert len(meaning) > 20
    for path in meaning:
        for imported in imports(path):
            parts = imported.split(".")
            if parts[0] == "meshkit":
                assert parts[1] in MEANING_MAY_IMPORT or is_meaning(parts), f"{name(path)} imports {imported}"


def test_packages_on_the_way_to_meaning_import_nothing() -> None:
    """The sandbox's daemon imports ``meshes.*.meaning`` and must start fast."""
    for folder in (
        "",
        "istio",
        "linkerd",
        "gateway_api",
        "istio/checks",
        "istio/meaning",
        "linkerd/meaning",
        "model",
    ):
        assert not imports(PACKAGE / "meshes" / folder / "__init__.py"), folder


@pytest.mark.parametrize("package", PURE)
def test_pure_layers_do_no_io(package: str) -> None:
    for path in (PACKAGE / package).rglob("*.py"):
        if path.name.startswith("generate"):
            continue
        used = {each for each in imports(path) if {each, each.split(".")[0]} & IMPURE}
        assert not used, f"{path} imports {used}"


def names_of_os(path: Path) -> Iterator[str]:
    """The dotted names of module os that a module uses."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield f"os.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (f"os.{alias.name}" for alias in node.names)


def test_only_the_settings_read_the_environment() -> None:
    for path in modules():
        if not name(path).startswith(MAY_READ_ENVIRONMENT):
            used = READS_ENVIRONMENT.intersection(names_of_os(path))
            assert not used, f"{name(path)} reads the environment with {used}: ask meshkit.settings"


def test_a_command_declares_its_cluster_by_the_one_option() -> None:
    """No command declares --kubeconfig or --context by itself."""
    declared = [
        path.name
        for path in (PACKAGE / "cli").rglob("*.py")
        if {"--kubeconfig", "--context"}
        & {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
    ]
    assert declared == ["output.py"]


def test_codes_stand_on_facts_alone() -> None:
    for path in (PACKAGE / "codes").glob("*.py"):
        used = {each.split(".")[1] for each in imports(path) if each.startswith("meshkit.")}
        assert used <= CODES_MAY_IMPORT, f"{path} imports {used - CODES_MAY_IMPORT}"


def test_checks_name_no_mesh() -> None:
    """What differs between meshes is a field of ``meshes.checks.MeshChecks``."""
    for path in (PACKAGE / "checks").rglob("*.py"):
        strings = {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
        assert not strings & {"istio", "linkerd"}, f"{path} knows a mesh by name"
        special = {
            imported
            for imported in imports(path)
            if imported.startswith(("meshkit.meshes.istio", "meshkit.meshes.linkerd"))
        }
        assert not special, f"{path} imports {special}"


def test_operations_render_nothing() -> None:
    """How a plan or a status looks in a notebook is for views."""
    for path in (PACKAGE / "operations").rglob("*.py"):
        assert "html" not in imports(path), path
        assert "_repr_html_" not in text(path), path


def test_decide_needs_only_the_standard_library() -> None:
    import sys

    for path in (PACKAGE / "decide").rglob("*.py"):
        foreign = {n.split(".")[0] for n in imports(path)} - set(sys.stdlib_module_names) - DECIDE_MAY_IMPORT
        assert not foreign, f"{path} imports {foreign}"


def test_files_have_a_docstring_and_stay_readable() -> None:
    for path in modules():
        assert ast.get_docstring(tree(path)), f"{name(path)} does not say why it exists"
        assert text(path).count("\n") <= 500, f"{name(path)} has more than one reason to exist: split it"
