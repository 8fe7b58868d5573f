"""New pods are warmed up before their latencies count; where pods cannot be told apart, a clock decides."""

from __future__ import annotations

import math

from meshkit.decide.admission.warm_pods import PodAges
from meshkit.facts import ArmCounts, Samples


def counts(requests: int, slow: int = 0) -> ArmCounts:
    return ArmCounts(requests, 0, ((100.0, requests - slow), (math.inf, requests)))


def samples(start_s: float, **pods: ArmCounts) -> Samples:
    """Pods of v1 are called a..., those of v2 b..."""
    of = {
        version: {pod: each for pod, each in pods.items() if pod[0] == letter}
        for version, letter in (("v1", "a"), ("v2", "b"))
    }
    arms = {version: sum(found.values(), ArmCounts()) for version, found in of.items()}
    return Samples(start_s, start_s + 5, arms, of)


BOTH = ("v1", "v2")


def test_a_pod_is_young_until_its_warm_up_after_its_first_request_is_over() -> None:
    ages = PodAges().seen(samples(0, a1=counts(100)), from_s=-120)
    ages = ages.seen(samples(10, a1=counts(100), b1=counts(0)), from_s=10)
    first = samples(20, a1=counts(100), b1=counts(10, slow=10))
    ages = ages.seen(first, from_s=20)
    warm = ages.warm(first, BOTH, 120)
    assert warm is not None
    assert warm["v1"].requests == 100
    assert warm["v2"] == ArmCounts()
    later = samples(140, a1=counts(100), b1=counts(10))
    found = ages.warm(later, BOTH, 120)
    assert found is not None
    assert found["v2"].requests == 10


def test_a_pod_that_appears_in_mid_release_does_not_hide_the_warm_ones() -> None:
    ages = PodAges().seen(samples(0, a1=counts(50), b1=counts(50)), from_s=-120)
    scaled = samples(500, a1=counts(50), b1=counts(25), b2=counts(25, slow=25), a2=counts(9, slow=9))
    warm = ages.seen(scaled, from_s=500).warm(scaled, BOTH, 120)
    assert warm is not None
    assert (warm["v1"].latency_ms, warm["v2"].latency_ms) == (counts(50).latency_ms, counts(25).latency_ms)


def test_pods_that_are_not_told_apart_are_left_to_the_clock() -> None:
    told = samples(0, a1=counts(50), b1=counts(50))
    unknown = Samples(0, 5, told.arms, {"v1": told.pods["v1"], "v2": {}})
    assert PodAges().seen(unknown, from_s=-120).warm(unknown, BOTH, 120) is None
    partly = Samples(0, 5, {**told.arms, "v2": counts(100)}, told.pods)
    assert PodAges().seen(partly, from_s=-120).warm(partly, BOTH, 120) is None
