"""meshkit's own rule over a trace: the library itself, look by look, as the runner of a release calls it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from benchmarks.canaries.traffic import BLOCKS, EDGES_MS, HISTORY_S, SCRAPE_S, Arm, Trace
from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.margins import watching
from meshkit.decide.pods import Placement, pod_noise
from meshkit.decide.rule import decided
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.facts import ArmCounts
from meshkit.intent.release import Objectives, Release

WARM_UP_S, SOAK_S = 30.0, 600.0
EDGES = (*(float(edge) for edge in EDGES_MS), math.inf)


@dataclass(frozen=True)
class Ended:
    """When the rule rolled back and when it would have promoted, in seconds; None: not in the trace."""

    rolled_back_s: float | None
    promoted_s: float | None


def run(trace: Trace, objectives: Objectives | None = None) -> Ended:
    """The whole trace at one share; after a promotion the safety net stays on to its end."""
    release = release_of(trace, objectives)
    baseline = baseline_of(trace, objectives)
    evidence = Evidence.start(Yardstick.of(baseline, release))
    promoted_s = None
    stable, canary = (looks_of(arm, baseline) for arm in (trace.stable, trace.canary))
    for i, arms in enumerate(zip(stable, canary, strict=True)):
        start_s = i * SCRAPE_S
        warming = start_s < WARM_UP_S
        look = SampleWindow(1 + start_s, 1 + start_s + SCRAPE_S, 0, trace.percent, True, warming, *arms)
        evidence = evidence.updated(look)
        now_s = start_s + SCRAPE_S
        if promoted_s is not None:
            if evidence.harm >= evidence.yardstick.harm_limit:
                return Ended(now_s, promoted_s)
            continue
        action, _, _ = decided(evidence, release, Progress(0, now_s, now_s))
        if action == "rollback":
            return Ended(now_s, None)
        if action == "promote":
            promoted_s = now_s
            if trace.scenario.bad:
                return Ended(None, promoted_s)
    return Ended(None, promoted_s)


def release_of(trace: Trace, objectives: Objectives | None) -> Release:
    """A release that stays at the trace's share until its deadline, which never comes."""
    return Release(
        name="r",
        namespace="n",
        service="s",
        port=80,
        stable="v1",
        canary="v2",
        steps=(trace.percent, 100),
        step_s=60,
        look_s=SCRAPE_S,
        soak_s=SOAK_S,
        deadline_s=1e9,
        objectives=objectives,
    )


def baseline_of(trace: Trace, objectives: Objectives | None) -> Baseline:
    counts = _counts(trace.history, range(BLOCKS))
    found = Baseline.of(counts, HISTORY_S, objectives.slower_than_ms if objectives else None)
    found = watching(found, release_of(trace, objectives).margins)
    if not trace.pods:
        return found
    blocks = [{f"pod-{i}": _counts(pod, [b]) for i, pod in enumerate(trace.pods)} for b in range(BLOCKS)]
    placement = Placement(canary={"": trace.scenario.canary_pods})
    return replace(found, noise=pod_noise(blocks, found.edges_ms, placement))


def _counts(arm: Arm, rows: range | list[int]) -> ArmCounts:
    rows = list(rows)
    within = accumulate(int(n) for n in arm.buckets[rows].sum(axis=0))
    histogram = tuple(zip(EDGES, within, strict=True))
    return ArmCounts(int(arm.requests[rows].sum()), int(arm.errors[rows].sum()), histogram)


def looks_of(arm: Arm, baseline: Baseline) -> list[ArmWindow]:
    within = np.cumsum(arm.buckets, axis=1)
    watched = [EDGES.index(edge) for edge in baseline.edges_ms]
    timed = within[:, -1]
    slower = timed[:, None] - within[:, watched]
    return [
        ArmWindow(int(n), int(e), int(t), tuple(int(s) for s in row))
        for n, e, t, row in zip(arm.requests, arm.errors, timed, slower, strict=True)
    ]
