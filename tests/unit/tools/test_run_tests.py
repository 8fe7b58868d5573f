"""Which tests run once more, alone, and with which options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import run_tests

SHARED = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--durations", "12"]
RELEASE = "tests/e2e/test_release.py::test_a_release[istio]"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The runs of pytest, of which the first fails."""
    made: list[tuple[str, ...]] = []
    codes: Iterator[int] = iter((1, 0))

    def pytest_run(*options: str) -> int:
        made.append(options)
        return next(codes)

    (tmp_path / "v/cache").mkdir(parents=True)
    monkeypatch.setattr(run_tests, "CACHE", tmp_path)
    monkeypatch.setattr(run_tests, "pytest", pytest_run)
    return made


def failed(folder: Path, *tests: str) -> None:
    (folder / "v/cache/lastfailed").write_text(json.dumps(dict.fromkeys(tests, True)))


def test_a_test_of_processes_runs_again_without_another_worker(
    runs: list[tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(tmp_path, RELEASE)
    assert run_tests.main(SHARED) == 0
    assert runs == [(*SHARED, "--cache-clear"), ("--durations", "12", "--last-failed")]
    assert f"passed alone (look into it): {RELEASE}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "tests",
    [
        [],
        [RELEASE, "tests/unit/decide/test_rule.py::test_it"],
        [f"{RELEASE}[{number}]" for number in range(run_tests.FEW + 1)],
    ],
    ids=["none is known", "one needs no process", "many"],
)
def test_other_failures_stand(runs: list[tuple[str, ...]], tmp_path: Path, tests: list[str]) -> None:
    failed(tmp_path, *tests)
    assert run_tests.main(SHARED) == 1
    assert len(runs) == 1
