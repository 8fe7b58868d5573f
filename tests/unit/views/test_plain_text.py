"""Characters that a terminal obeys are shown, in everything that the command line prints."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast
from xml.etree import ElementTree

import pytest
from nbformat import v4

from meshkit.cli.output import columns, echo, show
from meshkit.runbooks.execution import RunbookResult, _junit
from meshkit.views.plain_text import visible, visible_beside_colors, visible_line

HOSTILE = "\x1b]0;PWN\x07\x1b[2J\x9b31m\rroot\u202etxt\u2028\u200b\ud800\U000e0041"
SHOWN = r"\x1b]0;PWN\x07\x1b[2J\x9b31m\rroot\u202etxt\u2028\u200b\ud800\U000e0041"


def test_what_a_terminal_obeys_is_shown() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("a\tb\r\nc é 日本 −\N{NO-BREAK SPACE}%") == "a\tb\nc é 日本 −\N{NO-BREAK SPACE}%"
    assert visible_line("a\nb\tc") == r"a\nb\tc"


def test_only_the_colours_of_meshkit_are_kept() -> None:
    assert visible_beside_colors("\x1b[31mred\x1b[0m\x1b[2J\x1b[5m") == "\x1b[31mred\x1b[0m\\x1b[2J\\x1b[5m"


def test_a_cell_forges_no_row() -> None:
    assert columns(("a", "b"), [("x\nforged  row", "y\x1b[1A")]).splitlines()[1:] == [
        r"x\nforged  row  y\x1b[1A"
    ]


@pytest.mark.parametrize("err", [True, False])
def test_the_command_line_prints_it_visibly(capsys: pytest.CaptureFixture[str], err: bool) -> None:
    echo(HOSTILE, err=err)
    assert capsys.readouterr()[err] == f"{SHOWN}\n"


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": f"{HOSTILE}\x7f\n"}, "", as_json=True)
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"a": f"{HOSTILE}\x7f\n"}
    assert visible(shown) == shown


def test_a_junit_file_of_hostile_text_is_xml() -> None:
    cell = v4.new_code_cell(f"show('{HOSTILE}')", metadata={"papermill": {"exception": True}})
    result = SimpleNamespace(
        runbook=SimpleNamespace(name="small"),
        duration_s=1.0,
        cluster=f"c{HOSTILE}",
        error=f"e{HOSTILE}\nnext",
        outcome=f"o{HOSTILE}",
    )
    suite = _junit(cast(RunbookResult, result), v4.new_notebook(cells=[cell]))
    read = ElementTree.fromstring(ElementTree.tostring(suite, encoding="utf-8"))
    failure = read.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == f"e{SHOWN}\nnext"
    assert r"\x1b]0;PWN" in read.find("testcase").attrib["name"]
