"""The forecast of a release: its times match simulations, and its warnings have a remedy that works."""

from __future__ import annotations

import math

import pytest

from meshkit.decide import forecast
from meshkit.decide.margins import watching
from meshkit.decide.plan import release_forecast
from meshkit.decide.thresholds import Yardstick
from meshkit.intent.release import Margins, Objectives, Release
from meshkit.operations.release.forecast import assumed_baseline


def release(**fields: object) -> Release:
    common = {"name": "r", "namespace": "n", "service": "s", "port": 80, "stable": "v1", "canary": "v2"}
    return Release(**{**common, **fields})


BASELINE = assumed_baseline(release())


@pytest.mark.parametrize(
    ("shift", "information"), [(math.log(1.1), 2120), (math.log(1.5), 116), (math.log(3), 18)]
)
def test_information_needed(shift: float, information: float) -> None:
    assert forecast.information_needed(shift, 0.05) == pytest.approx(information, rel=0.15)


@pytest.mark.parametrize(("quantile", "minutes"), [("p50", 3.2), ("p99", 43)])
def test_times_of_a_usual_service_at_ten_canary_requests_a_second(quantile: str, minutes: float) -> None:
    yardstick = Yardstick.of(watching(BASELINE, Margins()), release(steps=(10, 100)))
    margin = next(m for m in yardstick.margins if m.quantile == quantile)
    took_s = forecast.latency_seconds(yardstick, margin, forecast.Rates.at(100, 10))
    assert took_s / 60 == pytest.approx(minutes, rel=0.35)


def test_enough_traffic_passes_and_soak_and_baseline_are_what_it_takes() -> None:
    plan = release_forecast(release(), BASELINE, 1000)
    assert plan.findings == ()
    assert plan.promote_s == pytest.approx(1200)
    assert [s.name for s in plan.statements] == ["errors", "p50", "p90", "p99"]
    assert all(s.seconds < 600 for s in plan.statements)


def test_more_traffic_is_never_slower() -> None:
    times = [release_forecast(release(), BASELINE, rps).promote_s for rps in (1, 10, 100, 1000, 10_000)]
    assert times == sorted(times, reverse=True)


def test_a_release_that_cannot_pass_is_offered_what_would_do() -> None:
    finding = release_forecast(release(), BASELINE, 10).findings[0]
    assert finding.code == "MK1603"
    assert "the deadline is 60:00" in finding.message
    assert "margins of +0.5 points for errors and 30" in finding.remedy
    offered = int(finding.remedy.rpartition("deadline_s of ")[2].rstrip("."))
    assert release_forecast(release(deadline_s=offered), BASELINE, 10).findings == ()


def test_a_share_of_half_is_offered_where_it_would_do() -> None:
    slow = release(steps=(10, 100), deadline_s=2400)
    finding = release_forecast(slow, BASELINE, 70).findings[0]
    assert "a step of 50" in finding.remedy
    assert release_forecast(release(steps=(10, 50, 100), deadline_s=2400), BASELINE, 70).findings == ()


def test_a_release_that_is_over_before_it_could_fail() -> None:
    found = release_forecast(release(steps=(1, 100), baseline_s=0, deadline_s=120), BASELINE, 2).findings
    assert "MK1604" in {f.code for f in found}
    assert "MK1604" not in {f.code for f in release_forecast(release(), BASELINE, 100).findings}


def test_an_objective_that_is_not_met_is_said_before_the_start() -> None:
    strict = release(objectives=Objectives(error_percent=0.01))
    assert "MK1605" in {f.code for f in release_forecast(strict, assumed_baseline(strict), 1000).findings}


def test_no_latencies_cannot_pass() -> None:
    from meshkit.decide.baseline import Baseline

    assert release_forecast(release(), Baseline(()), 100).findings[0].code == "MK1601"
