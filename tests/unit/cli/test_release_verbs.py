"""Commands to a release tell whether a process runs it, and refuse a release that has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshkit.cli import main
from meshkit.cluster import connect as connecting
from tests.unit.release.stage import Stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(connecting, "connect", lambda **_: stage.cluster)
    return stage


@pytest.fixture
def file(tmp_path: Path, stage: Stage) -> str:
    path = tmp_path / "release.yaml"
    path.write_text(json.dumps({"kind": "Release", **stage.release.model_dump(mode="json")}))
    return str(path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_command_without_a_runner_is_stored_and_says_what_to_do(
    stage: Stage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = stage.run_until_killed(lambda state: state.step == 0)
    assert run("release", "rollback", "-f", file) == 3
    shown = capsys.readouterr().out
    assert "Stored rollback for release web-v2" in shown
    assert "No process runs this release" in shown
    assert f"meshkit undo {state.change_id}" in shown
    assert run("release", "status", "-f", file) == 0
    assert "No process runs this release" in capsys.readouterr().out
    assert stage.run().result == "rolled_back", "the next runner carries the command out"


def test_a_release_that_has_ended_takes_no_command(
    stage: Stage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run()
    assert run("release", "hold", "-f", file) == 2
    assert "release web-v2 has ended: promoted." in capsys.readouterr().err
    assert run("release", "status", "-f", file) == 0
    assert "No process" not in capsys.readouterr().out


def test_a_runner_is_named(stage: Stage, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    stage.run(lambda _: None if codes else codes.append(run("release", "rollback", "-f", file, "--json")))
    assert codes == [0]
    assert json.loads(capsys.readouterr().out)["runner"]
