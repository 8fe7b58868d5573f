"""Measure the stable version before the first weight: its usual latencies and the spread of its pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from meshkit.decide.admission.warm_pods import TOLD_APART
from meshkit.decide.baseline import Baseline
from meshkit.decide.margins import watching
from meshkit.decide.pods import LEAST_PODS, Placement, assumed_noise, pod_noise
from meshkit.facts import ArmCounts, Samples

if TYPE_CHECKING:
    from meshkit.intent.release import Release

ENOUGH_REQUESTS = 1000
"""Stable requests that fix the watched edges; with fewer, LEAST_REQUESTS after LEAST_S have to do."""
LEAST_REQUESTS = 100
LEAST_S = 30.0
BLOCKS = 10
"""Blocks of time in which pods are compared: enough to tell a pod that is slow from a slow minute."""

PodCounts = Callable[[], Placement]
"""Counts the running pods of both versions by zone; none if they cannot be identified."""


class BaselineMeter:
    """Accumulate samples of the stable version until there are enough."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._counts = ArmCounts()
        self._blocks: list[dict[str, ArmCounts]] = []
        self._zones: dict[str, str] = {}
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
        self._zones |= samples.zones
        self._add_pods(samples.pods.get(release.stable, {}), seconds)
        requests = self._counts.requests
        if seconds < release.baseline_s or requests < LEAST_REQUESTS:
            return None
        if requests < ENOUGH_REQUESTS and seconds < LEAST_S:
            return None
        slow_ms = release.objectives.slower_than_ms if release.objectives else None
        placement = pods()
        counts = replace(self._counts, latency_ms=self._within(placement.common).latency_ms)
        baseline = watching(Baseline.of(counts, seconds, slow_ms), release.margins)
        if not release.baseline_s:
            return baseline
        noise = pod_noise(self._blocks, baseline.edges_ms, placement, self._zones)
        if noise is None and 0 < placement.stable_pods < LEAST_PODS:
            noise = assumed_noise(baseline, placement)
        return replace(baseline, noise=noise)

    def _within(self, zones: Sequence[str]) -> ArmCounts:
        """The counts in these zones, in which latencies will be compared; all without them."""
        of_pods = [(self._zones.get(pod), each) for block in self._blocks for pod, each in block.items()]
        if sum(each.requests for zone, each in of_pods if zone) < TOLD_APART * self._counts.requests:
            return self._counts
        found = sum((each for zone, each in of_pods if zone in zones), ArmCounts())
        return found if found.latency_ms else self._counts

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
