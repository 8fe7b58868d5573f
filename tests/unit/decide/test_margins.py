"""A margin means what it says: points of errors as they are now, and edges that no shape evades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.margins import edges_to_carry, least_provable_percent, margin_edges, watching
from meshkit.decide.plan import release_forecast
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.statistics.points import points_log_evidence
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.intent.release import Margins, Release

NORMAL = NormalDist()
ISTIO = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)


def lognormal(
    edges: Sequence[float], requests: int = 200_000, median: float = 60, sigma: float = 0.6
) -> Baseline:
    within = [(float(e), round(requests * NORMAL.cdf(math.log(e / median) / sigma))) for e in edges]
    return Baseline((*within, (math.inf, requests)), requests, 0, 600)


def release(**margins: float) -> Release:
    return Release(
        name="r",
        namespace="n",
        service="s",
        port=80,
        stable="v1",
        canary="v2",
        steps=(50, 100),
        step_s=1,
        soak_s=0,
        watch_s=0,
        margins=Margins(**margins),
    )


FINE = [10 * 1.02**i for i in range(250)]


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("percent", [10.0, 25.0])
def test_no_canary_outside_a_margin_has_fewer_requests_beyond_its_edge(
    quantile: float, percent: float
) -> None:
    """By the edges alone: stable's quantile is at or above one, and the other is within the margin of it."""
    baseline = lognormal(FINE)
    found = margin_edges(baseline, quantile, percent, baseline.finite_edges_ms)
    level, true = 1 - quantile, 60 * math.exp(0.6 * NORMAL.inv_cdf(quantile))
    assert found.least_ms <= true
    for lower, upper in ((found.least_ms, found.compared_ms), *found.pairs_ms):
        assert lower < upper <= lower * (1 + percent / 100) * (1 + 1e-6)
    usual = baseline.share_slower(found.compared_ms)
    assert found.shift <= math.log(level / (1 - level)) - math.log(usual / (1 - usual))
    assert found.shift > 0


@pytest.mark.parametrize(("moved", "slower", "shown"), [(0.9, 1, True), (1.1, 1, True), (1.1, 1.11, False)])
def test_a_margin_is_shown_although_latencies_have_moved_since_the_baseline(
    moved: float, slower: float, shown: bool
) -> None:
    asked = release()
    baseline = watching(lognormal(FINE), asked.margins)
    evidence = Evidence.start(Yardstick.of(baseline, asked))
    arms = []
    for times in (moved, moved * slower):
        share = [1 - NORMAL.cdf(math.log(edge / 60 / times) / 0.6) for edge in baseline.edges_ms]
        arms.append(ArmWindow(100_000, 0, 100_000, tuple(round(100_000 * each) for each in share)))
    evidence = evidence.updated(SampleWindow(0, 5, 0, 50, True, False, *arms))
    for margin in evidence.yardstick.margins:
        assert (evidence.within(margin) > 20) == shown, margin.quantile


def test_buckets_that_are_too_wide_carry_no_margin_and_that_is_said_with_what_would() -> None:
    baseline, asked = lognormal(ISTIO), release()
    yardstick = Yardstick.of(watching(baseline, asked.margins), asked)
    assert not any(margin.carried for margin in yardstick.margins)
    finding = next(f for f in release_forecast(asked, baseline, 1000).findings if f.code == "MK1607")
    assert "too wide to show p50 10\xa0%, p90 10\xa0%, p99 10\xa0%" in finding.message
    assert "margins.p50_percent to 100" in finding.remedy
    wider = release(p50_percent=100, p90_percent=150, p99_percent=150)
    assert least_provable_percent(baseline, 0.99) == pytest.approx(150)
    assert release_forecast(wider, baseline, 1000).findings == ()


def test_suggested_buckets_carry_the_margins() -> None:
    margins = Margins()
    edges = edges_to_carry(lognormal(ISTIO), margins)
    assert set(ISTIO) <= set(edges)
    assert len(edges) < 150
    finer = watching(lognormal(edges), margins)
    assert all(m.carried for m in Yardstick.of(finer, release()).margins)


def test_istio_is_told_its_annotation_and_linkerd_that_its_buckets_are_fixed() -> None:
    from meshkit.meshes import registry

    baseline = lognormal(ISTIO)
    said = {
        mesh: next(
            f.remedy
            for f in release_forecast(release(), baseline, 100, registry.mesh(mesh).metrics.buckets).findings
            if f.code == "MK1607"
        )
        for mesh in ("istio", "linkerd")
    }
    assert 'sidecar.istio.io/statsHistogramBuckets: \'{"istiocustom":[0.5,1.0,5.0,10.0,' in said["istio"]
    assert "buckets are fixed" in said["linkerd"]


@pytest.mark.parametrize("base", [0.0, 0.001, 0.01, 0.03, 0.1])
def test_errors_at_their_margin_are_promoted_in_at_most_5_percent(base: float) -> None:
    """Looked at often, stopped where it looks best: the null is the points, whatever stable's share is."""
    rng, shown, points = np.random.default_rng(5), 0, 1.0
    for _ in range(60):
        failed = [0, 0]
        for look in range(1, 7):
            shares = np.array([base + points / 100, base])
            failed = [x + int(n) for x, n in zip(failed, rng.binomial(800, shares), strict=True)]
            canary, stable = ((800 * look, count) for count in failed)
            if points_log_evidence(points, canary, stable) >= math.log(20):
                shown += 1
                break
    assert shown <= 6


def test_errors_within_the_points_are_shown() -> None:
    assert points_log_evidence(1.0, (4000, 4), (4000, 4)) > math.log(20)
    assert points_log_evidence(0.2, (4000, 400), (4000, 400)) < math.log(2)
    assert points_log_evidence(1.0, (4000, 4), (4000, 4), by_pods=3.0) < 0


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_promotion_and_its_numbers_agree(data: st.DataObject) -> None:
    percents = {f"p{q}_percent": data.draw(st.sampled_from([20.0, 60.0, 200.0])) for q in (50, 90, 99)}
    asked = release(error_points=data.draw(st.sampled_from([0.2, 1.0, 5.0])), **percents)
    edges = data.draw(st.sampled_from([FINE, ISTIO, [20 * 1.15**i for i in range(40)]]))
    baseline = watching(lognormal(edges), asked.margins)
    slower = data.draw(st.sampled_from([0.9, 1.0, 1.1, 1.4]))
    counts = {
        name: ArmWindow(
            requests,
            errors,
            requests - errors,
            tuple(
                round((requests - errors) * (1 - NORMAL.cdf(math.log(e / 60 / times) / 0.6)))
                for e in baseline.edges_ms
            ),
        )
        for name, times in (("stable", 1.0), ("canary", slower))
        for requests in [data.draw(st.integers(10, 60_000))]
        for errors in [data.draw(st.integers(0, requests // 20))]
    }
    evidence = Evidence.start(Yardstick.of(baseline, asked))
    evidence = evidence.updated(SampleWindow(0, 5, 0, 50, True, False, counts["stable"], counts["canary"]))
    verdict = judge(evidence, asked, Progress(0, 60, 60))
    for condition in verdict.conditions:
        if condition.name in ("p50", "p90", "p99"):
            high = verdict.numbers.get(f"{condition.name}_high_percent", math.inf)
            asked_percent = getattr(asked.margins, f"{condition.name}_percent")
            assert condition.met == (high <= asked_percent * (1 + 1e-6)), (condition, high)
            assert verdict.numbers.get(f"{condition.name}_low_percent", -100) <= high
    if verdict.action == "promote":
        assert all(c.met for c in verdict.conditions if c.needed)


def test_evidence_beyond_all_bounds_stays_a_number() -> None:
    asked = release()
    baseline = watching(lognormal(FINE), asked.margins)
    evidence = Evidence.start(Yardstick.of(baseline, asked))
    assert all(evidence.within(margin) < 20 for margin in evidence.yardstick.margins), "without a request"
    share = [1 - NORMAL.cdf(math.log(edge / 60) / 0.6) for edge in baseline.edges_ms]
    arm = ArmWindow(10**9, 0, 10**9, tuple(round(10**9 * each) for each in share))
    evidence = evidence.updated(SampleWindow(0, 5, 0, 50, True, False, arm, arm))
    for margin in evidence.yardstick.margins:
        assert 20 < evidence.within(margin) < math.inf, margin.quantile
