"""A question without an answer, an answer "no" and Ctrl-C say what state they leave."""

from __future__ import annotations

import io

import click
import pytest

from meshkit.cli.output import changing, confirm_plan, require_typed
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput

CLUSTER = Cluster("prod", "https://prod:6443", api=None)  # type: ignore[arg-type]


def answered(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_no_changes_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(monkeypatch, "n\n")
    with pytest.raises(click.Abort):
        confirm_plan(CLUSTER, as_json=False)
    assert capsys.readouterr().err == "Nothing was changed.\n"


def test_standard_input_without_an_answer_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, "")
    with pytest.raises(BadInput, match=r"standard input: .*Nothing was changed. Give --yes"):
        confirm_plan(CLUSTER, as_json=False)
    with pytest.raises(BadInput, match="Give --yes"):
        require_typed("prod", "upgrade", as_json=False)


def test_ctrl_c_in_a_change_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), changing():
        raise KeyboardInterrupt
    shown = capsys.readouterr().err
    assert "meshkit: interrupted." in shown
    assert "meshkit undo ID" in shown
