"""``meshkit experiment``: recorded runs are compared, and open ones listed and stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshkit.cli.app import main
from meshkit.cli.output import ClusterChoice
from meshkit.intent.release import Release
from meshkit.operations.experiments.experiment import Experiment
from meshkit.operations.experiments.settings import ExperimentLimits
from meshkit.operations.experiments.taking_back import open_experiments
from tests.unit.experiments.runs import ROUTE, run
from tests.unit.release.fake_api import FakeCluster

RELEASE = Release(name="web", namespace="shop", service="web", port=8080, stable="v1", canary="v2")
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    cluster = FakeCluster(RELEASE)
    monkeypatch.setattr(ClusterChoice, "connect", lambda self, **_: cluster)
    return cluster


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["experiment", *map(str, words)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return call


def test_recorded_runs_are_compared(call: Call, tmp_path: Path) -> None:
    files = [run(id, errors=n).to_json_lines(tmp_path / id) for id, n in (("a", 0), ("b", 20))]
    code, text = call("compare", *files)
    assert code == 0
    assert "odds at least" in text
    rows: list[dict[str, Any]] = json.loads(call("compare", *files, "--json")[1])
    assert {row["what"] for row in rows} == {"rps", "error_share", "p50_ms", "p90_ms", "p99_ms"}


def test_a_file_that_is_no_run_is_bad_input(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("nothing\n")
    code, text = call("compare", tmp_path / "a", tmp_path / "a")
    assert code == 2
    assert "line 1" in text


def test_an_open_experiment_is_listed_with_its_process_and_stopped(call: Call, cluster: FakeCluster) -> None:
    running = Experiment(ROUTE, cluster, mesh="istio", limits=ExperimentLimits(), why="a try")  # type: ignore[arg-type]
    (listed,) = json.loads(call("list", "--json")[1])
    assert (listed["id"], listed["target"], listed["why"]) == (running.id, "shop/web", "a try")
    assert listed["holder"] in call("list")[1]
    assert call("stop", running.id, "--why", "enough")[0] == 0
    assert open_experiments(cluster) == []  # type: ignore[arg-type]
    running.look()
    assert running.over == "stopped by ana"


def test_with_none_open_that_is_said(call: Call, cluster: FakeCluster) -> None:
    assert "No experiment is open" in call("list")[1]
    assert "nothing to stop" in call("stop")[1]
    assert call("stop", "20261130-000000-abcd")[0] == 2
