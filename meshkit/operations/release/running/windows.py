"""Make the sample windows of a running release: charge requests, sum what is shown, tell warm pods apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from meshkit.decide.admission.unreached import Attribution, ReadyPods
from meshkit.decide.admission.warm_pods import PodAges
from meshkit.decide.admission.zones import Zones
from meshkit.decide.pods import Placement
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.facts import ArmCounts, Samples
from meshkit.operations.release.baseline import newest_pod_s, ready_pods
from meshkit.operations.release.route import route_of
from meshkit.operations.release.running.pod_zones import PodZones

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.release.state.model import ReleaseState

SHOWN_S = 10.0
"""The displayed quantiles cover this many seconds."""


class WindowMaker:
    """Make one sample window after the other; call it in the order of time."""

    def __init__(self, state: ReleaseState, cluster: Cluster) -> None:
        self._release, self._route = state.release, route_of(state.route)
        self._cluster = cluster
        self._ages = PodAges()
        self._attribution = Attribution()
        self._zones = PodZones(cluster, self._release, self._route)
        self._recent: deque[Samples] = deque()

    def counted(self, samples: Samples, state: ReleaseState) -> Samples:
        """The counts by which the versions are compared at the present step.

        Those of callers, with the requests that reached no pod charged to the version that they were meant
        for; while requests are mirrored, those of the servers, because no caller counts copies.
        """
        versions, lead = (self._release.stable, self._release.canary), self._release.lead_at(state.step)
        samples = self._zones.of(samples)
        if lead == "mirror":
            return at_servers(samples, versions)
        share = state.asked_percent if state.step >= 0 else 0.0
        found = self._attribution.charged(samples, versions, None if lead else share, self.ready)
        self._attribution, charged = found
        return charged

    def look_of(self, samples: Samples, state: ReleaseState) -> SampleWindow:
        """Return the window of these counts, as the present step sees it."""
        release = self._release
        self._recent.append(samples)
        while self._recent[0].end_s <= samples.end_s - SHOWN_S:
            self._recent.popleft()
        edges = state.baseline.edges_ms if state.baseline else ()
        versions = (release.stable, release.canary)
        warm = self._warm(samples, versions, state)
        young = self._ages.young(samples, release.warm_up_s)
        zones = Zones.of(samples, versions, young) if warm else Zones()
        judged = zones.judged(warm) if warm else None
        arms = {
            version: ArmWindow.of(
                samples.arms[version],
                edges,
                self._shown(version),
                judged[version] if judged else None,
                samples.unreached.get(version, 0),
            )
            for version in versions
        }
        return SampleWindow(
            start_s=samples.start_s,
            end_s=samples.end_s,
            step=state.step,
            asked_percent=state.asked_percent,
            agreed=state.agreed_s is not None,
            warming=self._warming(samples, warm, state),
            stable=arms[release.stable],
            canary=arms[release.canary],
            zones=zones.windows(versions, edges),
            note=zones.note,
            coverage=samples.coverage,
        )

    def _warm(
        self, samples: Samples, versions: tuple[str, str], state: ReleaseState
    ) -> Mapping[str, ArmCounts] | None:
        """The counts of the pods that are past their warm-up; None if pods are not told apart."""
        warm_up_s, first = self._release.warm_up_s, not self._ages.since_s
        warmed = state.step < 0 or (first and samples.start_s >= state.shifted_s + warm_up_s)
        self._ages = self._ages.seen(samples, from_s=samples.start_s - (warm_up_s if warmed else 0.0))
        return self._ages.warm(samples, versions, warm_up_s)

    def _warming(self, samples: Samples, warm: Mapping[str, ArmCounts] | None, state: ReleaseState) -> bool:
        """Whether no latency of this window counts: all pods of the canary that answered are new.

        Where pods are not told apart, the time since the last change of weights, or since the newest pod
        started, decides.
        """
        canary, from_s = self._release.canary, samples.start_s - self._release.warm_up_s
        if warm is not None:
            return bool(samples.arms[canary].requests and not warm[canary].requests)
        return from_s < state.shifted_s or from_s < self._newest_pod_s(state)

    def _newest_pod_s(self, state: ReleaseState) -> float:
        """When the newest pod of either version started; 0 if that is unknown."""
        if state.step < 0:
            return 0.0
        return newest_pod_s(self._cluster, self._release, self._route)

    def pods(self) -> Placement:
        """Count the running pods of both versions by zone."""
        return self._zones.placement()

    def ready(self) -> ReadyPods:
        """Count the ready pods of both versions."""
        return ready_pods(self._cluster, self._release, self._route)

    def _shown(self, version: str) -> ArmCounts:
        """Sum the counts of the last seconds, as far back as the buckets are the same."""
        total = ArmCounts()
        for samples in reversed(self._recent):
            try:
                total += samples.arms[version]
            except ValueError:
                break
        return total


def at_servers(samples: Samples, versions: tuple[str, str]) -> Samples:
    """The samples with what the pods of both versions counted themselves, copies of requests included."""
    arms = {version: sum(samples.pods.get(version, {}).values(), ArmCounts()) for version in versions}
    return replace(samples, arms=arms, unreached={})
