"""Compare latencies within zones, so that what a zone does to them is not taken for the version.

Where samples tell pods and their zones apart and the pods are in several zones, only the zones count in which
both versions have pods, each with a table of its own. Requests to other zones do not count for slowness. If
no zone has pods of both, all requests are compared, and the note of the window says what that means.
Failures always count, because those that reach no pod have no zone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meshkit.decide.admission.warm_pods import TOLD_APART
from meshkit.decide.sample_windows import ZoneWindow, slower_than
from meshkit.facts import ArmCounts, Samples

Zone = Mapping[str, ArmCounts]
"""Version -> the counts of its pods in one zone."""


@dataclass(frozen=True)
class Zones:
    """The counts in each zone where both versions have pods; none if latencies are compared as a whole.

    ``note`` says how latencies are compared, empty if zones make no difference.
    """

    common: Mapping[str, Zone] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(cls, samples: Samples, versions: Sequence[str], young: Collection[str]) -> Zones:
        """The zones of one window, without the counts of ``young`` pods."""
        pods = {version: samples.pods.get(version, {}) for version in versions}
        placed = {version: _by_zone(samples, of_pods) for version, of_pods in pods.items()}
        if not all(placed.values()) or len({zone for zones in placed.values() for zone in zones}) < 2:
            return cls()
        stable, canary = (set(placed[version]) for version in versions)
        common = {
            zone: {
                version: _total(pods[version][pod] for pod in placed[version][zone] if pod not in young)
                for version in versions
            }
            for zone in sorted(stable & canary)
        }
        return cls(common, _note(versions, stable, canary))

    def judged(self, warm: Mapping[str, ArmCounts]) -> Mapping[str, ArmCounts]:
        """The counts of both versions whose latencies are judged; ``warm`` are those of all zones."""
        if not self.common:
            return warm
        return {version: _total(zone[version] for zone in self.common.values()) for version in warm}

    def windows(self, versions: tuple[str, str], edges_ms: Sequence[float]) -> tuple[ZoneWindow, ...]:
        """The latencies of the stable version and the canary in each zone, at the watched edges."""
        found = []
        for name, zone in self.common.items():
            stable, canary = (zone[version].latency_ms for version in versions)
            found.append(
                ZoneWindow(
                    name,
                    stable[-1][1] if stable else 0,
                    slower_than(stable, edges_ms),
                    canary[-1][1] if canary else 0,
                    slower_than(canary, edges_ms),
                )
            )
        return tuple(found)


def _by_zone(samples: Samples, pods: Mapping[str, ArmCounts]) -> dict[str, list[str]]:
    """The pods of a version by zone; none if too many of its requests went to pods of unknown zones."""
    placed: dict[str, list[str]] = {}
    for pod in pods:
        if pod in samples.zones:
            placed.setdefault(samples.zones[pod], []).append(pod)
    requests = sum(counts.requests for counts in pods.values())
    known = sum(pods[pod].requests for of_zone in placed.values() for pod in of_zone)
    return placed if known >= TOLD_APART * requests else {}


def _note(versions: Sequence[str], stable: set[str], canary: set[str]) -> str:
    if not stable & canary:
        where = " and ".join(
            f"{version} in {', '.join(sorted(zones))}"
            for version, zones in zip(versions, (stable, canary), strict=True)
        )
        return f"No zone has pods of both ({where}): what a zone does to latency counts as {versions[1]}'s."
    note = f"Latencies are compared within zones ({', '.join(sorted(stable & canary))})"
    left_out = ", ".join(sorted(stable ^ canary))
    if not left_out:
        return f"{note}."
    return f"{note}; those in {left_out} do not count, where only one version has pods."


def _total(counts: Iterable[ArmCounts]) -> ArmCounts:
    return sum(counts, ArmCounts())
