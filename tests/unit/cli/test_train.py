"""``meshkit release`` takes a train as it takes a release, by its file or by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshkit.cluster import connect as connecting
from meshkit.intent.document import dump_intents
from tests.unit.command_line import run
from tests.unit.release.train_stage import TrainStage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> TrainStage:
    stage = TrainStage(steps=(10, 100))
    monkeypatch.setattr(connecting, "connect", lambda **_: stage.cluster)
    return stage


@pytest.fixture
def file(tmp_path: Path, stage: TrainStage) -> str:
    path = tmp_path / "train.yaml"
    path.write_text(dump_intents(stage.train))
    return str(path)


def test_a_train_is_run_and_shown_with_its_releases(
    stage: TrainStage, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshkit.observe.source.observer", lambda *_: stage)
    monkeypatch.setattr("meshkit.operations.clock.SystemClock", lambda: stage.clock)
    assert run("release", "plan", "-f", file, "--mesh", "istio") == 5
    assert "each by stock-v2, then web-v2" in capsys.readouterr().out
    assert run("release", "run", "-f", file, "--mesh", "istio") == 0
    shown = capsys.readouterr().out
    assert "web-v2 watching at 10 %" in shown
    assert "All 2 releases are promoted." in shown
    assert run("release", "status", "-f", file) == 0
    shown = capsys.readouterr().out
    assert "stock-v2  shop/stock:8080  v1 to v2  promoted  100 %" in shown
    assert run("release", "status", "shop-v2", "--json") == 0
    assert [each["release"] for each in json.loads(capsys.readouterr().out)["releases"]] == list(
        stage.train.names
    )
    assert run("release", "list") == 0
    shown = capsys.readouterr().out
    assert "web-v2 (train shop-v2)" in shown
    assert "stock-v2, then web-v2" in shown
    assert run("history", "--json") == 0
    done = {(each["operation"], each["target"]) for each in json.loads(capsys.readouterr().out)}
    assert {("release train", "shop-v2"), ("release", "stock-v2"), ("release", "web-v2")} <= done
    assert run("release", "run", "shop-v2") == 2
    assert "train shop-v2 has ended: promoted." in capsys.readouterr().err


def test_a_command_to_a_release_of_a_train_names_the_train(
    stage: TrainStage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run_until_killed(lambda _: stage.shares() == (10, 10))
    for words in (
        ["hold", "web-v2"],
        ["rollback", "web-v2"],
        ["rollback", "web-v2", "--force"],
        ["run", "web-v2"],
    ):
        assert run("release", *words) == 2
        shown = capsys.readouterr().err
        assert "release web-v2 is a member of train shop-v2" in shown
        assert f"'meshkit release {words[0]} shop-v2'" in shown
    assert run("release", "status", "web-v2") == 0
    assert "`meshkit release run shop-v2` resumes it" in capsys.readouterr().out
    assert run("release", "guard", "web-v2") == 2
    assert "which no guardian takes back" in capsys.readouterr().err
    assert run("release", "hold") == 3, "the train is the only one that runs"
    shown = capsys.readouterr().out
    assert "Stored hold for train shop-v2" in shown
    assert "`meshkit release run shop-v2` resumes it" in shown


def test_a_train_that_nobody_runs_is_rolled_back_by_force(
    stage: TrainStage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run_until_killed(lambda _: stage.shares() == (10, 10))
    assert run("release", "rollback", "shop-v2", "--force") == 0
    assert stage.shares() == (0, 0)
    assert "web-v2: v2 gets 0 % again" in capsys.readouterr().out


def test_a_train_does_not_run_in_the_cluster(
    stage: TrainStage, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("release", "run", "-f", file, "--in-cluster") == 2
    assert "a Job runs one release, not a train" in capsys.readouterr().err
    assert run("release", "run", "-f", file, "--change", "20260101-000000-abcd") == 2
    assert run("release", "forecast", "-f", file) == 2
