"""A runbook leaves notebook, report and JUnit file however it ends, and its exit code is that of the
error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat import v4

from meshkit.errors import CHANGES_PENDING, BadInput
from meshkit.runbooks.execution import run_runbook
from meshkit.views.report import runbook_page
from tests.unit.runbooks.notebooks import (
    write_runbook,
)


def test_a_good_run_keeps_what_it_did(tmp_path: Path) -> None:
    name = write_runbook(tmp_path, "import sys\nprint(word, sys.executable)")
    result = run_runbook(name, {"word": "1.10"}, out=tmp_path / "out")
    assert (result.exit_code, result.error, result.cell) == (0, None, None)
    assert result.parameters == {"word": "1.10"}
    executed = nbformat.read(result.notebook, as_version=4)
    assert executed.cells[-1].outputs[0].text.startswith("1.10 ")
    page = result.report.read_text()
    assert "1.10" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert ElementTree.parse(result.junit).getroot().get("failures") == "0"


def test_an_error_of_meshkit_brings_its_exit_code_and_sentence(tmp_path: Path) -> None:
    failing = (
        "from meshkit.errors import NoData\nraise NoData('nothing was measured.', remedy='Send requests.')"
    )
    result = run_runbook(write_runbook(tmp_path, failing, "print('never')"), out=tmp_path / "out")
    assert (result.exit_code, result.cell) == (3, 2)
    assert result.error == "nothing was measured. Send requests."
    suite = ElementTree.parse(result.junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert "nothing was measured." in result.report.read_text()
    assert result.notebook.exists()


@pytest.mark.parametrize("failing", ["1 / 0", "import sys\nsys.exit(3)"])
def test_any_other_error_is_exit_code_1(tmp_path: Path, failing: str) -> None:
    assert run_runbook(write_runbook(tmp_path, failing), out=tmp_path / "out").exit_code == 1


def test_a_dead_kernel_is_exit_code_1_and_leaves_its_files(tmp_path: Path) -> None:
    result = run_runbook(write_runbook(tmp_path, "import os\nos._exit(9)"), out=tmp_path / "out")
    assert result.exit_code == 1
    assert result.notebook.exists()
    assert result.report.exists()


def test_bad_parameters_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    name = write_runbook(tmp_path, "print(word)")
    with pytest.raises(BadInput, match="wrod"):
        run_runbook(name, {"wrod": "x"}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("exit_code", "parameters", "headline"),
    [
        (0, {"apply": True}, "Done."),
        (0, {"apply": False}, "Dry run. Nothing was changed."),
        (5, {"apply": False}, "Dry run. Changes are pending; nothing was changed."),
        (0, {}, "Done."),
        (1, {"apply": False}, "Failed."),
        (4, {"apply": True}, "Stopped: a person must decide."),
    ],
)
def test_the_report_begins_with_how_it_ended(exit_code: int, parameters: Any, headline: str) -> None:
    styled = '<div class="mk"><style>.mk { color: red }</style><p>the finding</p></div>'
    output = v4.new_output("display_data", data={"text/html": styled})
    notebook = v4.new_notebook(cells=[v4.new_code_cell("show()", outputs=[output])])
    how = {"title": "Small", "exit_code": exit_code, "error": None, "duration_s": 1.0}
    text = runbook_page(notebook, parameters=parameters, **how)
    assert f"<strong>{headline}</strong>" in text
    assert "<p>the finding</p>" in text
    assert "color: red" not in text


def dry_runbook(folder: Path, steps: int) -> str:
    """A runbook with ``apply`` that shows a plan of so many steps."""
    plan = "from IPython.display import display\nfrom meshkit.operations.plan import PENDING\n"
    plan += f'display({{PENDING: {{"steps": {steps}}}, "text/plain": "a plan"}}, raw=True)'
    name = write_runbook(folder, plan)
    notebook = nbformat.read(name, as_version=4)
    notebook.cells[1].source += "\napply: bool = False  # change it"
    nbformat.write(notebook, name)
    return name


@pytest.mark.parametrize(
    ("steps", "apply", "exit_code"), [(2, "false", CHANGES_PENDING), (0, "false", 0), (2, "true", 0)]
)
def test_a_dry_run_says_whether_changes_are_pending(
    tmp_path: Path, steps: int, apply: str, exit_code: int
) -> None:
    result = run_runbook(dry_runbook(tmp_path, steps), {"apply": apply}, out=tmp_path / "out")
    assert (result.exit_code, result.error) == (exit_code, None)
    assert ElementTree.parse(result.junit).getroot().get("failures") == "0"
    assert ("Changes are pending" in result.report.read_text()) == (exit_code == CHANGES_PENDING)


def test_the_headings_and_printed_lines_are_told_while_it_runs(tmp_path: Path) -> None:
    lines: list[str] = []
    name = write_runbook(tmp_path, "print('one', end=' '); print('two\\nthree')", "print('last', end='')")
    run_runbook(name, out=tmp_path / "out", on_line=lines.append)
    assert lines == ["Small", "one two", "three", "last"]


def test_the_progress_of_an_operation_is_printed_in_its_cell(tmp_path: Path) -> None:
    lines: list[str] = []
    events = (
        "from meshkit.cluster.executor import Progress\n"
        "from meshkit.operations.progress import in_notebook\n"
        "show = in_notebook()\n"
        "for state in ('applying', 'waiting', 'done'):\n"
        "    show(Progress('Deployment shop/web', 1, 2, state))\n"
    )
    run_runbook(write_runbook(tmp_path, events), out=tmp_path / "out", on_line=lines.append)
    assert lines == ["Small", "1/2  waiting  Deployment shop/web", "1/2  done  Deployment shop/web"]


def test_the_outcome_of_the_last_operation_is_in_every_result(tmp_path: Path) -> None:
    change = (
        "from meshkit.facts import ClusterRef\n"
        "from meshkit.operations.plan import Change\n"
        "Change('20260101', {what!r}, 2, ClusterRef('prod', 'https://a.example'))\n"
    )
    name = write_runbook(tmp_path, change.format(what="First"), change.format(what="Release shop/web-v2"))
    result = run_runbook(name, out=tmp_path / "out")
    told = "Release shop/web-v2 on cluster prod (https://a.example): 2 steps done, change 20260101."
    assert result.outcome == told
    assert f"<span>{told}</span>" in result.report.read_text()
    (outcome,) = ElementTree.parse(result.junit).getroot().iter("property")
    assert (outcome.get("name"), outcome.get("value")) == ("outcome", told)
