"""The spread of the stable pods: what is noise, what is lot, what is clumped, and Student's quantile."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from meshkit.decide.baseline import Baseline
from meshkit.decide.pods import Placement, assumed_noise, pod_noise, student_quantile
from meshkit.decide.thresholds import TOLERANCE, Yardstick
from meshkit.facts import ArmCounts
from meshkit.intent.release import Release

EDGES = (20.0, 50.0)
PODS = Placement(canary={"": 3})
RELEASE = Release(name="r", namespace="n", service="s", port=80, stable="v1", canary="v2")


def blocks(
    sd: float, *, pods: int = 10, clumps: int = 1, seed: int = 1, requests: int = 2000
) -> list[dict[str, ArmCounts]]:
    """Ten blocks of pods whose log odds of being slower than 20 ms differ by ``sd``; ``clumps`` requests
    share their fate.
    """
    rng = np.random.default_rng(seed)
    odds = 0.5 * np.exp(rng.normal(0, sd, pods))
    made = []
    for _ in range(10):
        minute = math.exp(rng.normal(0, 0.2))
        shares = odds * minute / (1 + odds * minute)
        slower = clumps * rng.binomial(requests // clumps, shares)
        made.append(
            {
                f"pod-{i}": ArmCounts(
                    requests, 0, ((20.0, requests - int(n)), (50.0, requests), (math.inf, requests))
                )
                for i, n in enumerate(slower)
            }
        )
    return made


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 30])
@pytest.mark.parametrize("share", [0.9, 0.9875])
def test_student_quantile(freedom: int, share: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(student.ppf(share, freedom), rel=1e-6)


def test_pods_that_are_alike_widen_nothing() -> None:
    noise = pod_noise(blocks(0.0), EDGES, PODS)
    assert noise is not None
    assert noise.sd_slower[0] < 0.03
    assert noise.dispersion == 1


@pytest.mark.parametrize("sd", [0.2, 0.5])
def test_spread_between_pods_is_found_without_the_common_minutes(sd: float) -> None:
    found = [pod_noise(blocks(sd, seed=s), EDGES, PODS) for s in range(20)]
    mean = sum(n.sd_slower[0] ** 2 for n in found if n) / 20
    assert math.sqrt(mean) == pytest.approx(sd, rel=0.2)
    assert sum(n is None or n.dispersion > 1 for n in found) <= 1


def test_requests_that_share_their_fate_show_as_dispersion() -> None:
    noise = pod_noise(blocks(0.0, clumps=8), EDGES, PODS)
    assert noise is not None
    assert noise.dispersion == pytest.approx(8, rel=0.4)


def test_fewer_than_four_pods_are_not_measured() -> None:
    assert pod_noise(blocks(0.1, pods=3), EDGES, PODS) is None
    assert pod_noise([], EDGES, PODS) is None


def test_pods_that_come_or_go_are_left_out() -> None:
    seen = blocks(0.1, pods=6)
    del seen[4]["pod-0"]
    noise = pod_noise(seen, EDGES, PODS)
    assert noise is not None
    assert noise.stable_pods == 5


def yardstick(sd: float, canary_pods: int = 2, **clumped: int) -> Yardstick:
    histogram = ((10.0, 2000), (20.0, 6667), (50.0, 9900), (100.0, 9990), (math.inf, 10_000))
    bare = Baseline(histogram, 10_000, 10, 600)
    made = blocks(sd, **clumped)
    wide = [
        {
            pod: ArmCounts(
                c.requests, 0, ((10.0, 0), *c.latency_ms[:2], (100.0, c.requests), c.latency_ms[2])
            )
            for pod, c in one.items()
        }
        for one in made
    ]
    noise = pod_noise(wide, bare.edges_ms, Placement(canary={"": canary_pods}))
    return Yardstick.of(Baseline(histogram, 10_000, 10, 600, noise), RELEASE)


def test_labels_say_what_the_error_rate_covers() -> None:
    assert (
        Yardstick.of(Baseline(((10.0, 5), (20.0, 9), (math.inf, 10))), RELEASE).label == "pods not measured"
    )
    assert yardstick(0.0, canary_pods=10).label == "per request"
    assert yardstick(0.5).label == "pods measured"
    assert yardstick(0.0, clumps=8).label == "calibrated on A/A"


def test_spread_widens_the_tolerance_and_shrinks_the_margin() -> None:
    alike, differing = yardstick(0.0, canary_pods=10), yardstick(0.5)
    assert max(alike.tolerance_slower) == TOLERANCE
    assert max(differing.tolerance_slower) > 0.5
    assert (alike.harm_limit, differing.harm_limit) == (pytest.approx(20), pytest.approx(40))
    p50 = next(m for m in differing.margins if m.edge_ms == 20)
    assert p50.null < p50.shift
    assert p50.refused
    few, many = (max(yardstick(0.5, canary_pods=pods).tolerance_slower) for pods in (2, 20))
    assert few > 1.5 * many


def test_identical_pods_seldom_widen_a_tolerance() -> None:
    found = [pod_noise(blocks(0.0, seed=seed), EDGES, PODS) for seed in range(30)]
    assert sum(noise is not None and noise.sd_slower[0] > 0 for noise in found) <= 5


def test_looks_longer_than_a_block_of_time_do_not_lose_the_pods() -> None:
    gaps = [part for block in blocks(0.1) for part in ({}, block)]
    noise = pod_noise(gaps, EDGES, PODS)
    assert noise is not None
    assert noise.stable_pods == 10


def test_too_few_pods_to_measure_are_assumed_to_differ_by_a_stated_spread() -> None:
    histogram = ((10.0, 2000), (20.0, 6667), (50.0, 9900), (100.0, 9990), (math.inf, 10_000))
    bare = Baseline(histogram, 10_000, 10, 600)
    few = Yardstick.of(
        Baseline(histogram, 10_000, 10, 600, assumed_noise(bare, Placement({"": 3}, {"": 1}))), RELEASE
    )
    alike = Yardstick.of(bare, RELEASE)
    assert few.label == "few pods"
    assert few.harm_limit == pytest.approx(40)
    p50 = few.edges_ms.index(20.0)
    percent = bare.slower_percent(20.0, few.tolerance_slower[p50], upper=True)
    assert few.tolerance_slower[p50] > 3 * alike.tolerance_slower[p50]
    assert percent > 10
    assert [m.null for m in few.margins] == [m.null for m in alike.margins]


def two_zones(pods: int, gap: float, sd: float = 0.0) -> tuple[list[dict[str, ArmCounts]], dict[str, str]]:
    """Blocks of ``pods`` pods, and their zones: the log odds of the second half are ``gap`` higher."""
    near, far = blocks(sd, pods=pods // 2, seed=1), blocks(sd, pods=pods // 2, seed=2)
    for block in far:
        for pod, c in block.items():
            odds = math.exp(gap) * (c.requests - c.latency_ms[0][1]) / c.latency_ms[0][1]
            within = round(c.requests / (1 + odds))
            block[pod] = replace(c, latency_ms=((20.0, within), *c.latency_ms[1:]))
    made = [
        {**a, **{f"far-{pod}": counts for pod, counts in b.items()}} for a, b in zip(near, far, strict=True)
    ]
    return made, {pod: "b" if pod.startswith("far") else "a" for pod in made[0]}


ZONED = Placement({"a": 4, "b": 4}, {"a": 1, "b": 1})


def test_what_zones_differ_by_is_no_spread_of_their_pods() -> None:
    made, zones = two_zones(8, gap=0.8)
    within, whole = pod_noise(made, EDGES, ZONED, zones), pod_noise(made, EDGES, PODS)
    assert within is not None
    assert whole is not None
    assert (within.sd_slower[0], within.zones) == (0.0, 2)
    assert whole.sd_slower[0] > 0.3
    spread, zones = two_zones(8, gap=0.8, sd=0.5)
    found = pod_noise(spread, EDGES, ZONED, zones)
    assert found is not None
    assert found.sd_slower[0] > 0.2


def test_zones_with_too_few_pods_to_tell_stay_in_the_spread() -> None:
    made, zones = two_zones(4, gap=0.8)
    noise = pod_noise(made, EDGES, Placement({"a": 2, "b": 2}, {"b": 1}), zones)
    assert noise is not None
    assert noise.zones == 1
    assert noise.sd_slower[0] > 0.3


@pytest.mark.parametrize(
    ("stable", "canary", "variance"),
    [
        ({"a": 4, "b": 4}, {"a": 1, "b": 1}, 1 / 8 + 1 / 2),
        ({"a": 7, "b": 1}, {"b": 2}, 1 + 1 / 2),
        ({"a": 8}, {"a": 2}, None),
        ({"a": 4}, {"b": 2}, None),
        ({"a": 4, "": 1}, {"a": 2}, None),
    ],
    ids=["alike", "one stable pod there", "one zone", "none in common", "unknown"],
)
def test_pods_are_compared_with_those_of_their_zone(
    stable: dict[str, int], canary: dict[str, int], variance: float | None
) -> None:
    assert Placement(stable, canary).variance == (variance and pytest.approx(variance))
