"""The processor time of one evaluation of a release: its tables, the rule and its sentences."""

from __future__ import annotations

import math
import time

from benchmarks.figure import Figure
from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.intent.release import Release

RUNS = 100
EDGES_MS = tuple(20 * 1.1**i for i in range(40))


def measure() -> list[Figure]:
    release = Release(
        name="r", namespace="n", service="s", port=80, stable="v1", canary="v2", steps=(10, 100)
    )
    within = [round(100_000 * (1 - math.exp(-edge / 90))) for edge in EDGES_MS]
    baseline = Baseline((*zip(EDGES_MS, within, strict=True), (math.inf, 100_000)), 100_100, 100, 600)
    evidence = Evidence.start(Yardstick.of(baseline, release))
    spent = []
    for run in range(RUNS):
        look = _look(run, baseline)
        began_s = time.process_time()
        evidence = evidence.updated(look)
        judge(evidence, release, Progress(0, 10.0 * run, 10.0 * run))
        spent.append(1000 * (time.process_time() - began_s))
    return [
        Figure(
            f"one verdict, {1 + len(baseline.edges_ms)} tables of 10,000 requests (processor time)",
            "ms",
            tuple(spent),
            20.0,
        )
    ]


def _look(run: int, baseline: Baseline) -> SampleWindow:
    arms = []
    for requests in (9000 + run, 1000 - run):
        slower = tuple(round(requests * baseline.slower_than(e) / 100_000) for e in baseline.edges_ms)
        arms.append(ArmWindow(requests, requests // 900, requests, slower))
    return SampleWindow(10.0 * run, 10.0 * run + 10, 0, 10, True, False, arms[0], arms[1])
