"""The second generator of releases, and the promises on a few of its cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.canaries import field_contest
from benchmarks.canaries.field import BUCKETS, SHAPES, Field, Pod, Version, quantile_ms
from benchmarks.canaries.field_release import run


@pytest.mark.parametrize("shape", SHAPES)
def test_a_version_that_is_slower_has_its_quantiles_there(shape: str) -> None:
    draw = Field(shape, BUCKETS["fine"], np.random.default_rng(1))
    ((requests, errors, within),) = draw.counts(Version(slower=lambda _: 1.5, tail=1.2), 200_000, 0.0)
    assert errors == pytest.approx(requests * 0.001, rel=0.3)
    p99 = quantile_ms(shape, 0.99, 1.5, 1.2)
    beyond = [w for edge, w in zip(BUCKETS["fine"], within, strict=False) if edge <= p99][-1]
    assert beyond / (requests - errors) == pytest.approx(0.99, abs=0.004)


def test_a_cold_pod_serves_from_its_start_and_warms_up() -> None:
    pod = Pod(since_s=100.0, cold=1.0, warm_in_s=30.0)
    assert pod.slowness(100.0) == 2.0
    assert pod.slowness(400.0) == pytest.approx(1.0, abs=0.001)
    draw = Field("lognormal", BUCKETS["fine"], np.random.default_rng(1))
    assert [len(draw.counts(Version((Pod(), pod)), 1000, at)) for at in (0.0, 200.0)] == [1, 2]


def test_the_same_seed_gives_the_same_release() -> None:
    case = next(case for case, _ in field_contest.cases() if case.name == "p50 outside")
    assert run(case, 3) == run(case, 3)
    assert run(case, 3).action == "rollback"


def test_a_stall_of_a_second_rolls_back_no_canary_that_serves_alone() -> None:
    case = next(case for case, _ in field_contest.cases() if case.name == "alone, a stall of a second")
    assert {run(case, seed).action for seed in (3, 4, 5)} == {"continue"}
    failing = replace(case, versions=lambda _: (Version(), Version(errors=lambda _: 0.05)))
    assert run(failing, 1).action == "rollback"


@pytest.mark.soak
def test_the_promises_hold_on_the_whole_grid() -> None:
    assert field_contest.table(400)[1] == []


def test_the_file_of_a_run_gives_its_releases_to_the_next(tmp_path: Path) -> None:
    kept = tmp_path / "field.json"
    first = field_contest.table(1, ("cold pods",), kept=kept)
    kept.write_text(kept.read_text().replace("promote", "rollback"))
    assert "0 of 2" not in first[0]
    assert "| 1 of 2" in field_contest.table(2, ("cold pods",), kept=kept)[0]
