"""Leave the requests of new pods out of the comparison of latencies: caches and compilers are still cold.

A pod is young for ``warm_up_s`` after the first request that it is seen to answer. Its failures count at
once, its latencies only afterwards. Pods that answered before the first weight are not young.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshkit.facts import ArmCounts, Samples

TOLD_APART = 0.9
"""Pods are told apart if their own counts have at least this share of their version's requests."""


@dataclass(frozen=True)
class PodAges:
    """When each pod answered its first request, in seconds since the epoch."""

    since_s: Mapping[str, float] = field(default_factory=dict)

    def seen(self, samples: Samples, *, from_s: float) -> PodAges:
        """Return the ages with the pods of one more window; those that are new to it began at ``from_s``."""
        serving = {pod for of in samples.pods.values() for pod, counts in of.items() if counts.requests}
        return PodAges({**dict.fromkeys(serving, from_s), **self.since_s})

    def young(self, samples: Samples, warm_up_s: float) -> set[str]:
        """The pods whose latencies in a window do not count yet."""
        return {pod for pod, since_s in self.since_s.items() if since_s > samples.start_s - warm_up_s}

    def warm(
        self, samples: Samples, versions: Sequence[str], warm_up_s: float
    ) -> Mapping[str, ArmCounts] | None:
        """The counts of the pods that are warm, by version; None if pods are not told apart.

        Where all pods are warm, these are the versions' own counts.
        """
        arms, pods = samples.arms, {version: samples.pods.get(version, {}) for version in versions}
        for version in versions:
            of_pods = sum(counts.requests for counts in pods[version].values())
            reached = arms[version].requests - samples.unreached.get(version, 0)
            if reached > 0 and of_pods < TOLD_APART * reached:
                return None
        young = self.young(samples, warm_up_s)
        if not any(young.intersection(of_pods) for of_pods in pods.values()):
            return {version: arms[version] for version in versions}
        return {
            version: sum((each for pod, each in pods[version].items() if pod not in young), ArmCounts())
            for version in versions
        }
