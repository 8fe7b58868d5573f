"""Sample windows: the counts of both versions between two times.

The journal stores them, and every verdict can be recomputed from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshkit.decide.admission.possible import refused_histogram
from meshkit.decide.statistics.sequential import Table
from meshkit.errors import NoData
from meshkit.facts import ArmCounts, Coverage


@dataclass(frozen=True)
class ArmWindow:
    """One version in one sample window: its counts, and recent latencies for display.

    ``timed`` requests have a latency; ``slower[i]`` of them took longer than the i-th watched edge of the
    release. ``unreached`` of the ``errors`` are requests for which no pod was chosen.
    """

    requests: int = 0
    errors: int = 0
    timed: int = 0
    slower: tuple[int, ...] = ()
    p50_ms: float | None = None
    p99_ms: float | None = None
    unreached: int = 0
    p90_ms: float | None = None

    def __add__(self, other: ArmWindow) -> ArmWindow:
        """Sum the counts; the latencies are those of the later window."""
        slower = tuple(a + b for a, b in zip(self.slower, other.slower, strict=True))
        return ArmWindow(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            timed=self.timed + other.timed,
            slower=slower,
            p50_ms=other.p50_ms,
            p90_ms=other.p90_ms,
            p99_ms=other.p99_ms,
            unreached=self.unreached + other.unreached,
        )

    @classmethod
    def of(
        cls,
        counts: ArmCounts,
        edges_ms: Sequence[float],
        recent: ArmCounts,
        warm: ArmCounts | None = None,
        unreached: int = 0,
    ) -> ArmWindow:
        """Create a window from its counts and from the ``recent`` counts for the displayed quantiles.

        ``warm`` are the counts whose latencies are judged; None: all.
        Raises ``NoData`` for a histogram that cannot be true, or that lacks an edge.
        """
        judged = counts if warm is None else warm
        if reason := refused_histogram(judged.latency_ms):
            raise NoData(
                f"The callers' proxies report latencies that cannot be true: {reason}.",
                remedy="Look at their metrics pages; nothing is counted while they report such values.",
            )
        return cls(
            requests=counts.requests,
            errors=counts.errors,
            timed=judged.latency_ms[-1][1] if judged.latency_ms else 0,
            slower=slower_than(judged.latency_ms, edges_ms),
            p50_ms=_rounded(recent.quantile_ms(0.5)),
            p90_ms=_rounded(recent.quantile_ms(0.9)),
            p99_ms=_rounded(recent.quantile_ms(0.99)),
            unreached=unreached,
        )


@dataclass(frozen=True)
class ZoneWindow:
    """The latencies of both versions in one zone, as ``timed`` and ``slower`` of ArmWindow."""

    zone: str
    stable_timed: int
    stable_slower: tuple[int, ...]
    canary_timed: int
    canary_slower: tuple[int, ...]

    def __add__(self, other: ZoneWindow) -> ZoneWindow:
        """Sum the counts."""
        return ZoneWindow(
            self.zone,
            self.stable_timed + other.stable_timed,
            tuple(a + b for a, b in zip(self.stable_slower, other.stable_slower, strict=True)),
            self.canary_timed + other.canary_timed,
            tuple(a + b for a, b in zip(self.canary_slower, other.canary_slower, strict=True)),
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ZoneWindow:
        """The zone that a journal stores as plain fields."""
        slower = {name: tuple(record[name]) for name in ("stable_slower", "canary_slower")}
        return cls(**{**record, **slower})


@dataclass(frozen=True)
class SampleWindow:
    """Both versions between two times (seconds since the epoch) at one step (-1: before the first weight).

    ``agreed``: the measured share had agreed with ``asked_percent`` before this window, so the step's clock
    ran. ``warming``: too soon after a change of weights for latencies to count (errors always count).
    ``refused``: why nothing of it counts; empty if it counts. ``zones``: the latencies of both versions by
    zone, where they are compared within zones; ``note`` says how they are compared then. ``coverage``: how
    many proxies were asked.
    """

    start_s: float
    end_s: float
    step: int
    asked_percent: float
    agreed: bool
    warming: bool
    stable: ArmWindow
    canary: ArmWindow
    refused: str = ""
    zones: tuple[ZoneWindow, ...] = ()
    note: str = ""
    coverage: Coverage | None = None

    @property
    def failures(self) -> Table:
        """The failed requests of both versions."""
        return Table(self.canary.requests, self.canary.errors, self.stable.requests, self.stable.errors)

    def slower(self, edge: int) -> Table:
        """The requests of both versions that were slower than a watched edge."""
        canary, stable = self.canary, self.stable
        return Table(canary.timed, canary.slower[edge], stable.timed, stable.slower[edge])

    def slower_by_zone(self, edge: int) -> tuple[Table, ...]:
        """The requests slower than a watched edge, in one table for each zone that is compared."""
        if not self.zones:
            return (self.slower(edge),)
        return tuple(
            Table(zone.canary_timed, zone.canary_slower[edge], zone.stable_timed, zone.stable_slower[edge])
            for zone in self.zones
        )

    def zones_with(self, earlier: Mapping[str, ZoneWindow]) -> dict[str, ZoneWindow]:
        """The zones that are compared now, by name, with their counts of ``earlier`` windows."""
        return {each.zone: earlier[each.zone] + each if each.zone in earlier else each for each in self.zones}

    def as_record(self) -> dict[str, Any]:
        """A small JSON object: what the journal stores."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "step": self.step,
            "asked_percent": self.asked_percent,
            "agreed": self.agreed,
            "warming": self.warming,
            "stable": _arm_record(self.stable),
            "canary": _arm_record(self.canary),
            **({"refused": self.refused} if self.refused else {}),
            **({"zones": [asdict(zone) for zone in self.zones]} if self.zones else {}),
            **({"note": self.note} if self.note else {}),
            **({"coverage": list(self.coverage)} if self.coverage else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SampleWindow:
        """The look that ``as_record`` stored."""
        arms = ("stable", "canary")
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record.keys() - arms}
        fields["zones"] = tuple(map(ZoneWindow.from_record, record.get("zones", ())))
        if covered := record.get("coverage"):
            fields["coverage"] = Coverage(*covered)
        return cls(**fields, stable=_arm(record["stable"]), canary=_arm(record["canary"]))


def slower_than(latency_ms: tuple[tuple[float, int], ...], edges_ms: Sequence[float]) -> tuple[int, ...]:
    """Count the requests of a cumulative histogram that were slower than each edge.

    Raises ``NoData`` for an unknown edge.
    """
    if not latency_ms:
        return (0,) * len(edges_ms)
    within = dict(latency_ms)
    gone = [edge for edge in edges_ms if edge not in within]
    if gone:
        raise NoData(
            f"The callers' proxies no longer count latencies at {gone[0]:g} ms.",
            remedy="Do not change their histogram buckets while a release runs.",
        )
    return tuple(latency_ms[-1][1] - within[edge] for edge in edges_ms)


def _arm_record(arm: ArmWindow) -> dict[str, Any]:
    return {name: getattr(arm, name) for name in arm.__dataclass_fields__} | {"slower": list(arm.slower)}


def _arm(record: Mapping[str, Any]) -> ArmWindow:
    return ArmWindow(**{**record, "slower": tuple(record["slower"])})


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
