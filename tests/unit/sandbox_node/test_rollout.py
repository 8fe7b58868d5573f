"""The arithmetic of a rolling update."""

from __future__ import annotations

import random

import pytest

from meshkit.sandbox.controllers.workloads.rollout import (
    Limits,
    Share,
    Size,
    grown,
    limits,
    proportional,
    shrunk,
)


@pytest.mark.parametrize(
    ("strategy", "replicas", "expected"),
    [
        ({}, 2, Limits(1, 0)),
        ({}, 4, Limits(1, 1)),
        ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}, 3, Limits(0, 2)),
        ({"rollingUpdate": {"maxSurge": "30%", "maxUnavailable": "30%"}}, 10, Limits(3, 3)),
        ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}, 3, Limits(0, 1)),
    ],
)
def test_limits_round_surge_up_and_unavailable_down_and_are_never_both_zero(
    strategy: dict[str, object], replicas: int, expected: Limits
) -> None:
    assert limits(strategy, replicas) == expected


def test_the_new_version_grows_by_the_surge_only() -> None:
    assert grown(Size(0, 0), [Size(3, 3)], 3, Limits(1, 0)) == 1
    assert grown(Size(1, 0), [Size(3, 3)], 3, Limits(1, 0)) == 1


def test_no_old_pod_goes_before_a_new_one_is_available() -> None:
    assert shrunk(Size(1, 0), [Size(3, 3)], 3, Limits(1, 0)) == [3]
    assert shrunk(Size(1, 1), [Size(3, 3)], 3, Limits(1, 0)) == [2]


def test_broken_old_pods_go_first_and_do_not_wait_for_the_new_version() -> None:
    assert shrunk(Size(1, 0), [Size(1, 0), Size(3, 3)], 3, Limits(1, 0)) == [0, 3]


def test_a_step_not_yet_carried_out_is_not_asked_for_twice() -> None:
    # one old pod was given up, but the ReplicaSet still counts it as available
    assert shrunk(Size(1, 1), [Size(2, 3)], 3, Limits(1, 0)) == [2]


@pytest.mark.parametrize("seed", range(40))
def test_every_rollout_ends_and_keeps_its_limits_on_the_way(seed: int) -> None:
    draw = random.Random(seed)
    replicas = draw.randint(1, 9)
    allowed = Limits(draw.randint(0, 3), draw.randint(0, 3))
    if allowed == Limits(0, 0):
        allowed = Limits(1, 0)
    new, old = Size(0, 0), Size(replicas, replicas)
    for _ in range(200):
        new = Size(grown(new, [old], replicas, allowed), new.available)
        old = Size(min(shrunk(new, [old], replicas, allowed)[0], old.wanted), old.available)
        assert new.wanted + old.wanted <= replicas + allowed.surge
        old = Size(old.wanted, old.wanted)
        new = Size(new.wanted, min(new.wanted, new.available + draw.randint(0, 1)))
        assert new.available + old.available >= replicas - allowed.unavailable
    assert (new.wanted, old.wanted) == (replicas, 0)


@pytest.mark.parametrize(
    ("shares", "replicas", "surge", "expected"),
    [
        ([Share(8, 13, 1), Share(5, 13, 0)], 15, 3, [11, 7]),  # Kubernetes' own example: 10 -> 15 while 8 + 5
        ([Share(5, 13, 1), Share(5, 13, 0)], 15, 3, [7, 11]),  # what rounding leaves goes to the newer
        ([Share(8, 13, 1), Share(5, 13, 0)], 5, 2, [4, 3]),
        ([Share(2, 4, 1), Share(2, 4, 0)], 0, 0, [0, 0]),
        ([Share(3, 4, 1), Share(1, 4, 0)], 3, 1, [3, 1]),
    ],
)
def test_a_new_size_during_a_rollout_is_shared_out_by_the_present_sizes(
    shares: list[Share], replicas: int, surge: int, expected: list[int]
) -> None:
    assert proportional(shares, replicas, surge) == expected
