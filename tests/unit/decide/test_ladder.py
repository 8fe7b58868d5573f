from __future__ import annotations

import random

import pytest

from meshkit.decide.ladder import next_step, share_agrees, weights


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, (100, 0)), (10, (90, 10)), (0.5, (995, 5)), (99.9, (1, 999)), (100, (0, 100))],
)
def test_weights(percent: float, expected: tuple[int, int]) -> None:
    assert weights(percent) == expected


def test_next_step() -> None:
    steps = (0.5, 10, 100)
    assert [next_step(steps, i) for i in (-1, 0, 1, 2)] == [0, 1, 2, None]


@pytest.mark.parametrize(
    ("requests", "canary", "asked", "before", "agrees"),
    [
        (300, 31, 10, 0.5, True),
        (300, 2, 10, 0.5, False),
        (300, 2, 0.5, 0, True),
        (300, 0, 0.5, 0, False),
        (300, 150, 10, 0, False),
        (300, 299, 100, 50, True),
        (300, 150, 100, 50, False),
        (0, 0, 10, 0, False),
    ],
)
def test_share_agrees(requests: int, canary: int, asked: float, before: float, agrees: bool) -> None:
    assert share_agrees(requests, canary, asked, before) is agrees


def test_a_share_that_is_right_agrees_soon() -> None:
    rng = random.Random(1)
    for asked, before in ((1, 0), (5, 1), (25, 5), (50, 25)):
        hits = sum(
            share_agrees(1000, sum(rng.random() < asked / 100 for _ in range(1000)), asked, before)
            for _ in range(20)
        )
        assert hits >= 19
