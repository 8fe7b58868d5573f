"""``mk.NAME`` is the public surface: it resolves, is documented, and no module shadows it later."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import meshkit as mk
from tests.architecture.source import modules, text


def test_no_public_name_is_a_module() -> None:
    modules = {info.name for info in pkgutil.iter_modules(mk.__path__)}
    assert not modules & set(mk.__all__)


def test_public_names_stay_themselves_when_every_module_is_imported() -> None:
    before = {name: getattr(mk, name) for name in mk.__all__ if name != "__version__"}
    for info in pkgutil.walk_packages(mk.__path__, "meshkit."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
    for name, value in before.items():
        assert getattr(mk, name) is value, name
        assert callable(value), name
        assert value.__doc__, f"mk.{name} has no docstring"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(mk.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == mk._HOME_OF


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mk.no_such_name


def test_import_is_light() -> None:
    heavy = ("kubernetes", "plotly", "papermill", "pydantic")
    code = f"import sys, meshkit; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_messages_and_docstrings_name_public_names_only() -> None:
    named = ((path, word) for path in modules() for word in re.findall(r"\bmk\.([A-Za-z_]+)", text(path)))
    assert [f"{path}: mk.{word}" for path, word in named if word not in mk.__all__] == []
