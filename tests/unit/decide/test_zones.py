"""Latencies are compared within zones, where pods and zones are told apart and both versions have pods."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest

from meshkit.decide.admission.zones import Zones
from meshkit.decide.pods import Placement
from meshkit.decide.rollouts.baseline_meter import BaselineMeter
from meshkit.decide.rollouts.judging import judge
from meshkit.decide.rollouts.rollout import Rollout
from meshkit.decide.sample_windows import SampleWindow
from meshkit.facts import ArmCounts, Samples
from meshkit.intent.release import Margins, Release

EDGES_MS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 60.0, 80.0, math.inf)
BOTH = ("v1", "v2")
RELEASE = Release(
    name="web-v2",
    namespace="shop",
    service="web",
    port=8080,
    stable="v1",
    canary="v2",
    steps=(50, 100),
    step_s=10,
    baseline_s=0,
    soak_s=0,
    warm_up_s=0,
    margins=Margins(error_points=1, p50_percent=150, p90_percent=150, p99_percent=150),
)
SLOW_ZONE = {"a": 1.0, "b": 1.3, "c": 1.0}


def counts(requests: int, slow: int = 0) -> ArmCounts:
    return ArmCounts(requests, 0, ((100.0, requests - slow), (math.inf, requests)))


def placed(v1: Mapping[str, ArmCounts], v2: Mapping[str, ArmCounts], *unknown: str) -> Samples:
    """Pods that are called by their zone: ``a1`` is in ``a``, unless its zone is ``unknown``."""
    pods = {"v1": v1, "v2": v2}
    arms = {version: sum(of_pods.values(), ArmCounts()) for version, of_pods in pods.items()}
    zones = {pod: pod[0] for of_pods in pods.values() for pod in of_pods if pod not in unknown}
    return Samples(0, 5, arms, pods, zones=zones)


def test_only_zones_with_pods_of_both_count() -> None:
    samples = placed({"a1": counts(50, 1), "b1": counts(40, 8), "b2": counts(40, 8)}, {"b3": counts(30, 6)})
    zones = Zones.of(samples, BOTH, ())
    assert zones.judged(samples.arms) == {"v1": counts(80, 16), "v2": counts(30, 6)}
    (only,) = zones.windows(("v1", "v2"), (100.0,))
    assert (only.zone, only.stable_timed, only.stable_slower) == ("b", 80, (16,))
    assert zones.note == (
        "Latencies are compared within zones (b); those in a do not count, where only one version has pods."
    )


def test_young_pods_do_not_count_in_their_zone() -> None:
    samples = placed({"a1": counts(50), "b1": counts(40)}, {"a2": counts(30, 30), "b2": counts(20)})
    assert Zones.of(samples, BOTH, {"a2"}).judged(samples.arms)["v2"] == counts(20)


@pytest.mark.parametrize(
    "samples",
    [
        placed({"a1": counts(50), "a2": counts(40)}, {"a3": counts(30)}),
        placed({"a1": counts(50), "b1": counts(40)}, {"a2": counts(30), "b2": counts(30)}, "a2"),
        placed({"a1": counts(50), "b1": counts(40)}, {}),
    ],
    ids=["one zone", "unknown zones", "no pod"],
)
def test_where_zones_make_no_difference_all_requests_are_compared(samples: Samples) -> None:
    assert Zones.of(samples, BOTH, ()) == Zones()


def test_without_a_common_zone_all_requests_are_compared_and_the_note_says_so() -> None:
    samples = placed({"a1": counts(50), "b1": counts(40)}, {"c1": counts(30)})
    zones = Zones.of(samples, BOTH, ())
    assert zones.judged(samples.arms) == samples.arms
    assert zones.note.startswith("No zone has pods of both (v1 in a, b and v2 in c):")


def windows(
    stable: str, canary: str, *, times: float = 1.0, told: bool = True, looks: int = 40, seed: int = 1
) -> Iterator[Samples]:
    """Windows of pods in these zones: at first without requests to the canary, then with half of them."""
    rng = np.random.default_rng(seed)
    for i in range(looks + 8):
        pods = {}
        for version, zones, slower, share in (("v1", stable, 1.0, 1), ("v2", canary, times, i >= 8)):
            each = 300 * share // len(zones)
            pods[version] = {
                f"{version}-{zone}{k}": drawn(rng, each, slower * SLOW_ZONE[zone])
                for k, zone in enumerate(zones)
            }
        arms = {version: sum(of_pods.values(), ArmCounts()) for version, of_pods in pods.items()}
        zones_of = {pod: pod[3] for of_pods in pods.values() for pod in of_pods} if told else {}
        percent = 50.0 if i >= 8 else 0.0
        yield Samples(1000 + 5 * i, 1005 + 5 * i, arms, pods, asked_percent=percent, zones=zones_of)


def drawn(rng: np.random.Generator, requests: int, times: float) -> ArmCounts:
    took = np.sort(times * rng.lognormal(math.log(18), 0.3, requests))
    within = np.searchsorted(took, EDGES_MS, side="right")
    return ArmCounts(requests, 0, tuple((edge, int(n)) for edge, n in zip(EDGES_MS, within, strict=True)))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("stable", ["aaab", "abc"])
def test_a_slower_zone_is_not_taken_for_a_slower_version(stable: str, seed: int) -> None:
    assert judge(windows(stable, "b", told=False, seed=seed), RELEASE).action == "rollback"
    found = judge(windows(stable, "b", seed=seed), RELEASE)
    assert found.action != "rollback"


def test_a_canary_that_is_slower_within_its_zone_is_rolled_back_and_says_where() -> None:
    found = judge(windows("aaab", "b", times=1.3), RELEASE)
    assert found.action == "rollback"
    assert any("compared within zones (b); those in a do not count" in each for each in found.sentences)


def test_a_canary_in_a_faster_zone_is_not_promoted_for_the_zone() -> None:
    """It is a third slower than stable in its zone, and as fast as stable as a whole in the slow one."""
    fast = RELEASE.model_copy(
        update={"margins": Margins(error_points=1, p50_percent=30, p90_percent=30, p99_percent=30)}
    )
    assert judge(windows("abbb", "a", times=1.35, looks=60), fast).action == "rollback"


@pytest.mark.parametrize("zones", ["abc", "ac"])
def test_a_good_canary_in_several_zones_is_promoted(zones: str) -> None:
    assert judge(windows("abc", zones, looks=60), RELEASE).action == "promote"


def test_the_zones_of_a_step_add_up() -> None:
    look = window_of(windows("ab", "ab"))
    found = begun()._evidence.updated(look)
    first, second = found.by_zone.values()
    assert first + second == replace(
        first,
        stable_timed=found.stable_judged.timed,
        stable_slower=found.stable_judged.slower,
        canary_timed=found.canary_judged.timed,
        canary_slower=found.canary_judged.slower,
    )


def test_a_journal_keeps_the_zones_of_a_window() -> None:
    look = window_of(windows("ab", "ab"))
    assert [zone.zone for zone in look.zones] == ["a", "b"]
    assert SampleWindow.from_record(json.loads(json.dumps(look.as_record()))) == look


def test_zones_that_do_not_add_up_are_refused() -> None:
    rollout, look = begun(), window_of(windows("ab", "ab"))
    changed = replace(look.zones[0], stable_timed=look.zones[0].stable_timed + 1)
    wrong = replace(look, zones=(changed, *look.zones[1:]))
    assert not rollout._evidence.updated(look).refused
    assert "do not add up" in rollout._evidence.updated(wrong).refused


def test_the_baseline_is_that_of_the_common_zones() -> None:
    meter = BaselineMeter(RELEASE)
    samples = next(windows("aab", "b"))
    samples = replace(samples, end_s=samples.start_s + 60)
    found = meter.measured(samples, lambda: Placement({"a": 2, "b": 1}, {"b": 1}))
    assert found is not None
    assert found.latency_ms == samples.pods["v1"]["v1-b2"].latency_ms
    assert found.answered == 300


def begun() -> Rollout:
    """A rollout whose canary has begun to get requests."""
    rollout = Rollout(RELEASE)
    for samples in list(windows("ab", "ab", looks=1))[:9]:
        rollout.add(samples, lambda: Placement({"a": 1, "b": 1}, {"a": 1, "b": 1}))
    return rollout


def window_of(made: Iterator[Samples]) -> SampleWindow:
    """The tenth of some windows, as a rollout counts it."""
    return begun()._look_of(list(made)[9], 0.0)
