"""Every finding's code is registered once, emitted somewhere, and explained on docs/reference/findings.md.

The pages that compare other programs with these findings are what ``tools/comparison`` says.
"""

from __future__ import annotations

import ast
import re

import pytest

from meshkit import codes
from meshkit.codes.reach import PROVEN_BY, PROVEN_INSIDE
from tests.architecture.source import PACKAGE, modules, tree
from tools.comparison.__main__ import PAGES
from tools.comparison.page import Comparison
from tools.findings import PAGE, page

EMITTERS = [path for path in modules() if path.parent.name != "codes"]
OF_OTHER_PROGRAMS = {PACKAGE / "meshes" / mesh / "analysis.py" for mesh in ("istio", "linkerd")}


def test_the_page_is_what_the_register_says() -> None:
    assert PAGE.read_text() == page(), "run: python -m tools.findings"


@pytest.mark.parametrize("comparison", PAGES, ids=lambda each: each.program)
def test_a_comparison_is_what_its_rows_say(comparison: Comparison) -> None:
    assert comparison.path.read_text() == comparison.page(), "run: python -m tools.comparison"


@pytest.mark.parametrize("comparison", PAGES, ids=lambda each: each.program)
def test_a_comparison_names_codes_that_exist_or_says_why_there_is_none(comparison: Comparison) -> None:
    assert len({row.code for row in comparison.rows}) == len(comparison.rows)
    assert set(re.findall(r"MK\d{4}", comparison.page())) <= {each.id for each in codes.register().values()}
    assert all(row.found or row.note for row in comparison.rows)


def test_every_code_is_registered_once_in_a_block_that_has_a_title() -> None:
    ids = [code.id for code in codes.register().values()]
    assert len(ids) == len(set(ids))
    assert {code[:4] for code in ids} == set(codes.BLOCKS)


def test_every_code_is_explained_in_sentences() -> None:
    for name, code in codes.register().items():
        assert re.fullmatch(r"MK\d{4}", code.id), name
        assert code.also != code.severity, name
        for text in (code.meaning, code.reason, code.remedy):
            assert text.endswith((".", "...")), f"{name}: {text}"


def test_every_registered_code_is_emitted_and_every_emitted_one_is_registered() -> None:
    emitted = {
        node.attr
        for path in EMITTERS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "codes"
        if node.attr.isupper()
    }
    assert emitted == set(codes.register())


def test_no_code_is_written_outside_the_register() -> None:
    for path in EMITTERS:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.fullmatch(r"MK\d{4}", node.value), f"{path}:{node.lineno} holds {node.value}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                assert path in OF_OTHER_PROGRAMS, f"{path}:{node.lineno} makes a Finding without the register"


def test_what_proves_a_finding_is_said_of_codes_that_exist() -> None:
    assert set(codes.register()) >= PROVEN_INSIDE | set(PROVEN_BY)
    assert not PROVEN_INSIDE & set(PROVEN_BY)
