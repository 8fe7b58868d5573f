"""What one look of a release costs: all tables of one scrape, exact likelihood ratios."""

from __future__ import annotations

import time

from benchmarks.figure import Figure
from meshkit.decide.sequential import WORSE, LikelihoodRatio, Table

TABLES = 8
RUNS = 50


def measure() -> list[Figure]:
    return [Figure("evidence of one look, 8 tables", "ms", tuple(_look_ms(run) for run in range(RUNS)), 20.0)]


def _look_ms(run: int) -> float:
    began_s = time.perf_counter()
    for i in range(TABLES):
        LikelihoodRatio(0.05, WORSE).updated(Table(200 + run, 10 + i, 2000, 100 + 40 * i))
    return 1000 * (time.perf_counter() - began_s)
