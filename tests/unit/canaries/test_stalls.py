"""Stalls of a second roll back no canary that serves alone, and harm that goes on is found."""

from __future__ import annotations

from benchmarks.canaries.stalls import Truth, alone, beside, shares, table


def test_one_stall_decides_only_by_the_test_of_all_counts() -> None:
    ends = [alone(Truth(100, stalls=1), seed) for seed in range(3)]
    assert any(end["all counts"] for end in ends)
    assert not any(end["without bursts"] for end in ends)


def test_harm_that_goes_on_is_found_two_looks_later() -> None:
    end = alone(Truth(100, canary=shares(errors=0.05)), 1)
    assert end == {"all counts": 5.0, "without the worst": 15.0, "without bursts": 15.0}


def test_stalls_of_both_versions_cancel_in_the_comparison() -> None:
    assert beside(Truth(5, 95, 11, minutes=10), 1)["compared"] is None
    assert beside(Truth(20, 50, minutes=10, canary=shares(errors=0.1)), 1)["compared"]


def test_the_table_has_a_line_for_each_case() -> None:
    assert "| alone, 10 rps, 1 stalls | all counts: " in table(1, ["alone, 10 rps, 1"])
