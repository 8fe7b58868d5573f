"""Code in README and docs/ exists: names resolve, keywords and options are known, intents are valid.

Every block is executed too (tests/e2e/test_docs.py), or a comment right above it says why it is not.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from pathlib import Path

import pytest
import yaml

import meshkit as mk
from tools.docs import commands, pages
from tools.docs.pages import ROOT, Block

BLOCKS = [block for page in pages.pages() for block in pages.blocks(page)]
LANGUAGES = {"python", "console", "yaml", "text"}
PAGES = pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(ROOT)))


def of(*languages: str) -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.where)


@PAGES
def test_every_block_names_its_language(page: Path) -> None:
    unknown = [block.where for block in pages.blocks(page) if block.language not in LANGUAGES]
    assert not unknown, f"write one of {sorted(LANGUAGES)} behind the fence"
    lines = pages.without_blocks(page)
    after_nothing = itertools.pairwise(lines)
    indented = [n for (_, before), (n, line) in after_nothing if not before and line.startswith("    ")]
    assert not indented, f"lines {indented} are code without a language: put them in a fence"


@of("python")
def test_python_uses_names_and_keywords_that_exist(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if name := public_name(node):
            assert name in mk.__all__, f"{block.where}: there is no mk.{name}"
        if isinstance(node, ast.Call) and (name := public_name(node.func)):
            parameters = inspect.signature(getattr(mk, name)).parameters
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            assert given <= set(parameters), f"{block.where}: mk.{name} takes no {given - set(parameters)}"


def public_name(node: ast.AST) -> str:
    """NAME where the node is ``mk.NAME``, else nothing."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mk":
        return node.attr
    return ""


@of("console")
def test_console_lines_are_taken_by_the_command_line(block: Block) -> None:
    for line in block.commands():
        if line.startswith("meshkit "):
            assert not commands.problem(line), f"{block.where}: {line}: {commands.problem(line)}"
            continue
        assert block.not_run, f"{block.where}: {line!r} is no command of meshkit: say why it is not run"
        verb = re.match(r"make ([a-z]+)", line)
        if verb:
            assert re.search(rf"^{verb.group(1)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line


@of("yaml")
def test_yaml_of_intents_is_valid(block: Block) -> None:
    documents = list(yaml.safe_load_all(block.text))
    if any(isinstance(document, dict) and "kind" in document for document in documents) and not block.not_run:
        assert mk.load_intents(f"{block.text}\n")


@of("text")
def test_text_needs_no_reason(block: Block) -> None:
    assert not block.not_run, f"{block.where}: a block of text is never run"


@PAGES
def test_code_in_sentences_exists(page: Path) -> None:
    unknown = sorted(pages.names_in(page) - set(mk.__all__))
    assert not unknown, f"there is no mk.{', mk.'.join(unknown)}"
    calls = [(line, span) for line, span in pages.spans(page) if span.startswith("meshkit ")]
    problems = [
        f"line {line}: {problem}" for line, span in calls if (problem := commands.loose_problem(span))
    ]
    assert not problems
