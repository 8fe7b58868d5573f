"""The slow-leak detector: it is not diluted by earlier good hours, and false alarms are rare."""

from __future__ import annotations

import math
import random

import numpy as np

from meshkit.decide.statistics.detector import ALARM, PERIOD_S, LeakDetector
from meshkit.decide.statistics.sequential import WORSE, Likelihood, Table

NULL = math.log(1.05)


def folded(odds_ratios: list[float], seed: int) -> tuple[int | None, int | None]:
    """The look of the alarm, and the one at which the running product reached 20 : 1."""
    rng = random.Random(seed)
    likelihood = Likelihood.over(NULL + step for step in (0.0, *WORSE))
    detector, product = LeakDetector(), None
    for look, ratio in enumerate(odds_ratios):
        p = 0.1 * ratio / (0.9 + 0.1 * ratio)
        slower = sum(rng.random() < p for _ in range(300)), sum(rng.random() < 0.1 for _ in range(300))
        likelihood = likelihood.updated(Table(300, slower[0], 300, slower[1]))
        ratios = likelihood.log_ratios(NULL, WORSE)
        detector = detector.folded([ratios], look * PERIOD_S)
        if product is None and likelihood.log_evidence(NULL, WORSE) > math.log(20):
            product = look
        if detector.log_leak >= math.log(ALARM):
            return look, product
    return None, product


def test_a_late_leak_is_found_sooner_than_by_the_running_product() -> None:
    late = [1.0] * 80 + [1.8] * 120
    found = [folded(late, seed) for seed in range(5)]
    assert all(alarm is not None and alarm >= 80 for alarm, _ in found)
    assert sum(alarm for alarm, _ in found if alarm) < sum(product or 200 for _, product in found)


def test_no_leak_is_no_alarm() -> None:
    assert all(folded([1.0] * 100, seed)[0] is None for seed in range(5))


def test_it_is_due_once_in_a_period_and_starts_from_nothing() -> None:
    detector = LeakDetector()
    assert detector.due(5.0)
    started = detector.folded([[0.1, 0.2]], 5.0)
    assert started.log_leak == -math.inf
    assert not started.due(5.0 + PERIOD_S / 2)
    assert started.due(5.0 + PERIOD_S)
    assert started.folded([[0.1, 0.2]], 40.0).log_leak == 0.0


def grown(drift: float, seed: int, looks: int = 120) -> bool:
    """Whether a canary that is always slower than allowed is called a leak: its slowness grows by ``drift``
    standard deviations of a look at each look.
    """
    rng = np.random.default_rng(seed)
    detector, surplus = LeakDetector(), np.cumsum(rng.normal(1 + drift * np.arange(looks), 1.0))
    for look in range(looks):
        worse = [[0.0], [50.0 * look]]
        detector = detector.folded(worse, look * PERIOD_S, [(float(surplus[look]), look + 1.0)] * 2)
        if detector.log_leak >= math.log(ALARM):
            return True
    return False


def test_slowness_that_does_not_grow_is_no_leak_however_often_one_looks() -> None:
    """The stable version is faster for being idle. Of 400 watches, 5 % were 20."""
    assert sum(grown(0.0, seed) for seed in range(400)) <= 14
    assert all(grown(0.05, seed) for seed in range(20))
