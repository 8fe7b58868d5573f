"""A run as tables and as a file."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from meshkit.errors import BadInput
from meshkit.operations.experiments.recording import ExperimentRun, load_experiment
from tests.unit.experiments.runs import run


def test_a_file_gives_the_same_run(tmp_path: Path) -> None:
    first = run(errors=3, slow=4)
    assert load_experiment(first.to_json_lines(tmp_path / "run.jsonl")) == first


def test_a_sample_is_a_row_of_the_csv(tmp_path: Path) -> None:
    with run(errors=5).to_csv(tmp_path / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert rows[1] | {"version": "v2", "requests": "50", "errors": "5", "error_percent": "10.0"} == rows[1]
    assert rows[-1]["setting"] == "1"


@pytest.mark.parametrize("table", ["settings", "events", "versions"])
def test_each_table_is_a_csv(table: str, tmp_path: Path) -> None:
    with run().to_csv(tmp_path / "table.csv", table).open() as file:  # type: ignore[arg-type]
        assert list(csv.DictReader(file))


def test_counts_are_summed_over_what_is_asked_for() -> None:
    found = run(errors=2)
    assert found.counts().requests == 600
    assert found.counts("v2").errors == 8
    assert found.counts("v2", setting=1).errors == 4
    assert found.counts("v2", between_s=(3, 4)).errors == 2
    assert found.counts(caller="shop/other").requests == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line of the kind run"),
        ("nonsense\n", "line 1 of"),
        ('{"kind": "run"}\n', "line 1 of"),
        ('{"kind": "sample"}\n', "line 1 of"),
        ('{"kind": "surprise"}\n', "line 1 of"),
        ("[]\n", "line 1 of"),
    ],
)
def test_another_file_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text(text)
    with pytest.raises(BadInput, match=said):
        load_experiment(tmp_path / "run.jsonl")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_experiment(tmp_path / "gone.jsonl")


@pytest.mark.skipif(importlib.util.find_spec("pandas") is not None, reason="pandas is installed")
def test_without_pandas_a_frame_is_refused_with_the_other_way() -> None:
    with pytest.raises(BadInput, match="pandas is not installed"):
        run().frame()


def test_the_duration_without_an_end_is_that_of_the_last_sample() -> None:
    found = run()
    assert ExperimentRun(**{**vars(found), "ended_s": None}).duration_s == 4.0
