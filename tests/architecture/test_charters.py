"""The charters of the packages: what their docstrings say may not happen in them, checked on the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, modules, name, tree

MOST_MODULES = 16
"""Modules side by side in one folder, ``__init__`` not counted."""
TAG = re.compile(
    r"</?(a|b|br|code|div|h[1-6]|i|li|ol|p|pre|span|strong|style|svg|table|td|th|tr|ul)\b[^<>]*>"
)
MESH_WORD = re.compile(r"istio|linkerd|envoy", re.IGNORECASE)
SANDBOX_MARK = re.compile(r"^meshkit-sandbox|meshkit://|^meshkit\.dev/sandbox|sandbox\.meshkit\.dev")
"""Names by which code could tell the sandbox from another cluster."""
MAY_TELL_THE_SANDBOX = ("meshkit/cluster/connect.py", "meshkit/cli/local/sandbox.py", "meshkit/sandbox/")
MAKES_THE_DEMO = "meshkit/operations/shop.py"
"""Writes the images of the demo's workloads into their manifests, and decides nothing by them."""
TRUSTED = {
    ("report.py", "(Path(__file__).parent / name).read_text(encoding='utf-8')"),  # meshkit's own style
    ("sanitized.py", "_CLEANER.clean(html)"),  # what a cell of a notebook shows, reduced by an allow-list
}
"""Files and expressions that become ``Markup`` as they are."""


def strings(path: Path) -> Iterator[ast.Constant]:
    """The string constants of a module that are no docstrings."""
    # Docstrings, also those of attributes, are expressions of their own.
    prose = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def test_html_is_made_in_the_views_alone() -> None:
    outside = [path for path in modules() if "views" not in path.parts]
    found = [
        (name(p), node.lineno, node.value) for p in outside for node in strings(p) if TAG.search(node.value)
    ]
    assert not found


@pytest.mark.parametrize("path", modules("views"), ids=name)
def test_the_views_leave_escaping_to_markupsafe(path: Path) -> None:
    """A value enters HTML through ``Markup(template).format``, which escapes every plain string."""
    module = tree(path)
    specs = {id(node.format_spec) for node in ast.walk(module) if isinstance(node, ast.FormattedValue)}
    for node in ast.walk(module):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) != "html.escape", place
        if isinstance(node, ast.ImportFrom) and node.module == "html":
            pytest.fail(place)
        if isinstance(node, ast.JoinedStr) and id(node) not in specs:
            text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
            assert "<" not in text, f"{place}: an f-string does not escape: use Markup(...).format(...)"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Markup":
            (given,) = node.args
            trusted = isinstance(given, ast.Constant) or (path.name, ast.unparse(given)) in TRUSTED
            assert trusted, f"{place}: only a literal is HTML as it stands"


@pytest.mark.parametrize("path", modules("views"), ids=name)
def test_tags_in_the_views_are_markup(path: Path) -> None:
    """A string with a tag in it is a template of ``Markup``, so what makes HTML cannot return plain text."""
    module = tree(path)
    templates = {
        id(node.args[0])
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Markup" and node.args
    }
    reads = {
        id(node)
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).split(".")[-1]
        in ("compile", "startswith", "removeprefix", "removesuffix", "sub")
        for node in call.args
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and TAG.search(node.value):
            assert id(node) in templates | reads, f"{path}:{node.lineno}: {node.value}"


def test_the_cluster_knows_no_mesh() -> None:
    found = [
        (name(path), node.lineno, node.value)
        for path in modules("cluster")
        for node in strings(path)
        if MESH_WORD.search(node.value)
    ]
    assert not found


def decided_by(path: Path) -> Iterator[tuple[int, set[str]]]:
    """The line of each decision of a module with the names in it that speak of a sandbox."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Compare):
            test = node if isinstance(node, ast.Compare) else node.test
            words = {each.id for each in ast.walk(test) if isinstance(each, ast.Name)}
            words |= {each.attr for each in ast.walk(test) if isinstance(each, ast.Attribute)}
            yield test.lineno, {word for word in words if "sandbox" in word.lower() and word != "no_sandbox"}


def test_nothing_is_decided_by_being_a_sandbox() -> None:
    """What the sandbox can and others cannot is a fact of its nodes (``kube.nodes``) or of its pods."""
    for path in modules():
        if name(path).startswith(MAY_TELL_THE_SANDBOX):
            continue
        for line, words in decided_by(path):
            assert not words, f"{name(path)}:{line} decides by {words}"
        if name(path) != MAKES_THE_DEMO:
            marks = [node.lineno for node in strings(path) if SANDBOX_MARK.search(node.value)]
            assert not marks, name(path)


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    for folder in {path.parent for path in modules()}:
        found = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(found) <= MOST_MODULES, f"{name(folder)} has {len(found)} modules: group them"


@pytest.mark.parametrize(
    "package",
    ["kube", "intent", "decide", "meshes", "checks", "cluster", "observe", "operations", "views", "codes"],
)
def test_a_package_says_what_may_not_happen_in_it(package: str) -> None:
    said = ast.get_docstring(tree(PACKAGE / package / "__init__.py")) or ""
    assert re.search(r"\b(no|not|nothing|never|nor|read-only)\b", said, re.IGNORECASE), (
        f"{package} has no charter"
    )


def test_the_command_line_prints_by_the_one_function() -> None:
    """``cli.output`` shows control characters: what is printed comes from a cluster in part."""
    for path in modules("cli"):
        printed = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)} & {
            "click.echo",
            "click.secho",
            "print",
            "sys.stdout.write",
            "sys.stderr.write",
        }
        assert path.name == "output.py" or not printed, f"{name(path)}: print by meshkit.cli.output.echo"
