"""The load generator's ledger and its answers."""

from __future__ import annotations

import json
import math

import pytest

from meshkit.sandbox.workloads.ledger import Ledger, percentile
from meshkit.sandbox.workloads.load import check_rate, rate_from_json, requests_json


def filled(count: int, capacity: int = 1000) -> Ledger:
    ledger = Ledger(capacity)
    for second in range(count):
        ledger.settle(ledger.schedule(float(second)), second + 0.5, 200, "v1")
    return ledger


def test_a_span_includes_its_start_and_not_its_end() -> None:
    assert filled(10).requests(filled(10).span(3, 6))["scheduled_s"] == [3, 4, 5]


def test_a_request_without_outcome_is_pending_and_keeps_its_place() -> None:
    ledger = Ledger(10)
    slow, fast = ledger.schedule(1.0), ledger.schedule(2.0)
    ledger.settle(fast, 1.0, 200, "v1")
    everything = ledger.span(-math.inf, math.inf)
    assert ledger.requests(everything)["scheduled_s"] == [2.0]
    assert ledger.requests(everything)["pending"] == 1
    ledger.settle(slow, 1001.0, 500, "v2")
    assert ledger.requests(everything)["scheduled_s"] == [1.0, 2.0]
    assert ledger.requests(everything)["version"] == ["v2", "v1"]


def test_the_ring_keeps_the_newest_and_ignores_outcomes_of_the_forgotten() -> None:
    ledger = Ledger(3)
    first = ledger.schedule(0.0)
    for second in (1.0, 2.0, 3.0):
        ledger.settle(ledger.schedule(second), 1.0, 200, "v1")
    ledger.settle(first, 9.0, 500, "old")
    kept = ledger.requests(ledger.span(-math.inf, math.inf))
    assert kept["scheduled_s"] == [1.0, 2.0, 3.0]
    assert kept["version"] == ["v1"] * 3


def test_no_answer_and_server_errors_are_failures_and_client_errors_are_not() -> None:
    ledger = Ledger(10)
    for status, version in ((200, "v1"), (404, "v1"), (503, ""), (0, ""), (500, "v2")):
        ledger.settle(ledger.schedule(0.0), 10.0, status, version)
    summary = ledger.summary(ledger.span(-math.inf, math.inf))
    assert (summary["requests"], summary["failed"]) == (5, 3)
    assert {v: each["failed"] for v, each in summary["by_version"].items()} == {"v1": 0, "": 2, "v2": 1}


def test_percentiles_are_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5)) == (50.0, 99.0, None)


def test_the_json_of_many_records_is_that_of_all_pieces() -> None:
    ledger = filled(5000, 6000)
    numbers = ledger.span(100, 4900)
    assert json.loads(requests_json(ledger, numbers)) == ledger.requests(numbers)


@pytest.mark.parametrize("rps", [-1, "200", True, 1e9, math.nan])
def test_a_rate_that_cannot_be_is_refused(rps: object) -> None:
    with pytest.raises(ValueError, match="rps"):
        check_rate(rps)


def test_a_misspelt_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="rps"):
        rate_from_json(b'{"rate": 5}')
