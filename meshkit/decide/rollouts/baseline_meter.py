"""Measure the stable version before the first weight: its usual latencies and the spread of its pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from meshkit.decide.baseline import Baseline
from meshkit.decide.margins import watching
from meshkit.decide.pods import LEAST_PODS, assumed_noise, pod_noise
from meshkit.facts import ArmCounts, Samples

if TYPE_CHECKING:
    from meshkit.intent.release import Release

ENOUGH_REQUESTS = 1000
"""Stable requests that fix the watched edges; with fewer, LEAST_REQUESTS after LEAST_S have to do."""
LEAST_REQUESTS = 100
LEAST_S = 30.0
BLOCKS = 10
"""Blocks of time in which pods are compared: enough to tell a pod that is slow from a slow minute."""

PodCounts = Callable[[], tuple[int, int]]
"""Counts the running pods of the stable version and of the canary; 0 if they cannot be identified."""


class BaselineMeter:
    """Accumulate samples of the stable version until there are enough."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._counts = ArmCounts()
        self._blocks: list[dict[str, ArmCounts]] = []
        self._began_s: float | None = None

    def measured(self, samples: Samples, pods: PodCounts) -> Baseline | None:
        """Add a window and return the baseline, or None while more samples are needed.

        ``pods`` is called once, for the baseline. Raises ``ValueError`` if the buckets of the histograms
        changed in between.
        """
        release = self._release
        self._counts += samples.arms[release.stable]
        self._began_s = samples.start_s if self._began_s is None else self._began_s
        seconds = samples.end_s - self._began_s
        self._add_pods(samples.pods.get(release.stable, {}), seconds)
        requests = self._counts.requests
        if seconds < release.baseline_s or requests < LEAST_REQUESTS:
            return None
        if requests < ENOUGH_REQUESTS and seconds < LEAST_S:
            return None
        slow_ms = release.objectives.slower_than_ms if release.objectives else None
        baseline = watching(Baseline.of(self._counts, seconds, slow_ms), release.margins)
        if not release.baseline_s:
            return baseline
        stable_pods, canary_pods = pods()
        noise = pod_noise(self._blocks, baseline.edges_ms, canary_pods)
        if noise is None and 0 < stable_pods < LEAST_PODS:
            noise = assumed_noise(baseline, stable_pods, canary_pods)
        return replace(baseline, noise=noise)

    def _add_pods(self, pods: Mapping[str, ArmCounts], seconds: float) -> None:
        """Add counts to the block of time that contains ``seconds``; pods that come or go are dropped at the
        end.
        """
        block = int(seconds * BLOCKS / self._release.baseline_s) if self._release.baseline_s else 0
        while len(self._blocks) <= min(block, BLOCKS - 1):
            self._blocks.append({})
        last = self._blocks[-1]
        for pod, counts in pods.items():
            last[pod] = last.get(pod, ArmCounts()) + counts
