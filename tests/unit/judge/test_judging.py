"""``mk.judge``: recorded windows get the verdict that a release would have got."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.decide.pods import Placement
from meshkit.decide.rollouts.judging import judge
from meshkit.decide.rollouts.rollout import Rollout
from meshkit.errors import BadInput
from meshkit.facts import ArmCounts, Samples
from meshkit.intent.release import Margins, Release

EDGES_MS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 60.0, 80.0, math.inf)
LOOK_S = 5.0


def release(**fields: Any) -> Release:
    given: dict[str, Any] = {
        "steps": (10, 50, 100),
        "step_s": 10,
        "min_requests": 50,
        "baseline_s": 0,
        "soak_s": 0,
        "warm_up_s": 0,
        "margins": Margins(error_points=1, p50_percent=150, p90_percent=150, p99_percent=150),
    }
    common = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
    return Release(**{**common, "stable": "v1", "canary": "v2", **given, **fields})


def counts(rng: random.Random, requests: int, errors: float = 0.001, times: float = 1.0) -> ArmCounts:
    failed = sum(rng.random() < errors for _ in range(requests))
    took = [times * rng.lognormvariate(math.log(18), 0.3) for _ in range(requests - failed)]
    return ArmCounts(requests, failed, tuple((edge, sum(ms <= edge for ms in took)) for edge in EDGES_MS))


def windows(
    shares: list[float], *, errors: float = 0.001, times: float = 1.0, told: bool = True, seed: int = 1
) -> Iterator[Samples]:
    """One window for each share of the canary in percent, 300 requests in each."""
    rng = random.Random(seed)
    for i, share in enumerate(shares):
        canary = round(3 * share)
        arms = {"v1": counts(rng, 300 - canary), "v2": counts(rng, canary, errors, times)}
        start_s = 1000 + i * LOOK_S
        yield Samples(start_s, start_s + LOOK_S, arms, asked_percent=share if told else None)


def test_a_good_canary_at_the_last_step_is_promoted() -> None:
    found = judge(windows([0.0] * 8 + [50.0] * 80), release())
    assert found.action == "promote"
    assert found.summary.startswith("v2 stays within its margins of v1, 95\N{NO-BREAK SPACE}% sure.")


def test_without_shares_all_windows_after_the_first_canary_request_are_one_step() -> None:
    shares = [0.0] * 8 + [50.0] * 80
    assert judge(windows(shares, told=False), release()) == judge(windows(shares), release())


def test_a_worse_canary_is_rolled_back_and_stays_so() -> None:
    bad, good = [50.0] * 20, [50.0] * 200
    early = list(windows([0.0] * 8 + bad, errors=0.2))
    late = [
        Samples(each.start_s + 28 * LOOK_S, each.end_s + 28 * LOOK_S, each.arms, asked_percent=50.0)
        for each in windows(good, errors=0.0, seed=2)
    ]
    found = judge([*early, *late], release())
    assert found.action == "rollback"
    assert "fails more often" in found.summary


def test_too_few_windows_leave_it_undecided() -> None:
    found = judge(windows([0.0] * 8 + [50.0] * 2), release())
    assert found.action == "continue"
    assert {condition.name for condition in found.open} >= {"errors"}


def test_at_an_earlier_step_promote_says_that_this_step_has_passed() -> None:
    found = judge(windows([0.0] * 8 + [10.0] * 12), release())
    assert found.action == "promote"
    assert found.summary.startswith("Step 10\N{NO-BREAK SPACE}% has passed.")


def test_windows_before_the_first_share_only_measure_stable() -> None:
    found = judge(windows([0.0] * 3), release())
    assert found.action == "continue"
    assert found.summary == "Measuring v1. v2 gets no traffic yet."


def test_without_a_baseline_nothing_counts_until_stable_is_measured() -> None:
    rollout = Rollout(release())
    verdicts = [rollout.add(each, Placement) for each in windows([50.0] * 80)]
    assert verdicts[0].summary.startswith("Held: v1 was not measured before v2 got requests")
    assert verdicts[0].action == "continue"
    assert rollout.verdict().action == "promote"


def test_the_counts_of_two_shares_are_not_pooled_in_one_step() -> None:
    """5 and 20 % belong to the same step of the release, but to different shares."""
    rollout = Rollout(release(steps=(5, 50, 100)))
    for each in windows([0.0] * 8 + [5.0] * 4 + [20.0] * 2):
        rollout.add(each, Placement)
    assert rollout._evidence.canary_step.requests == 2 * 60
    assert rollout._evidence.canary.requests == 4 * 15 + 2 * 60


def test_a_share_of_0_ends_the_rollout_and_the_next_one_starts_without_its_evidence() -> None:
    rollout = Rollout(release())
    for each in windows([0.0] * 8 + [50.0] * 20, errors=0.3):
        rollout.add(each, Placement)
    assert rollout.verdict().action == "rollback"
    later = windows([0.0] * 40 + [50.0] * 80, seed=3)
    for each in later:
        moved = Samples(each.start_s + 500, each.end_s + 500, each.arms, asked_percent=each.asked_percent)
        rollout.add(moved, Placement)
    assert rollout.verdict().action == "promote"


def test_all_requests_without_shown_margins_claim_no_margin() -> None:
    found = judge(windows([0.0] * 8 + [50.0] * 2 + [100.0] * 5), release())
    assert found.action == "promote"
    assert not any("stays within its margins" in sentence for sentence in found.told)


def test_neither_the_deadline_nor_the_watch_of_the_release_applies() -> None:
    found = judge(windows([0.0] * 8 + [50.0] * 80), release(deadline_s=1, watch_s=3600))
    assert found.action == "promote"
    assert "keeps" not in found.summary


def test_counts_that_cannot_be_true_hold() -> None:
    *good, last = windows([0.0] * 8 + [50.0] * 80)
    worse = Samples(
        last.start_s, last.end_s, {**last.arms, "v2": ArmCounts(10, 20)}, asked_percent=last.asked_percent
    )
    found = judge([*good, worse], release())
    assert found.action == "continue"
    assert found.summary.startswith("Held: canary has more errors (20) than requests (10)")


@pytest.mark.parametrize(
    ("samples", "field"),
    [
        ([], "samples"),
        ([Samples(0, 5, {"v1": ArmCounts()})], r"samples\[0\].arms"),
        ([Samples(0, 5, {})], r"samples\[0\].arms"),
    ],
)
def test_missing_input_is_named(samples: list[Samples], field: str) -> None:
    with pytest.raises(BadInput, match=field):
        judge(samples, release())
