"""Sample windows: the counts of both versions between two times.

The journal stores them, and every verdict can be recomputed from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.decide.admission.possible import refused_histogram
from meshkit.errors import NoData
from meshkit.facts import ArmCounts


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
class SampleWindow:
    """Both versions between two times (seconds since the epoch) at one step (-1: before the first weight).

    ``agreed``: the measured share had agreed with ``asked_percent`` before this window, so the step's clock
    ran. ``warming``: too soon after a change of weights for latencies to count (errors always count).
    ``refused``: why nothing of it counts; empty if it counts.
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
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SampleWindow:
        """The look that ``as_record`` stored."""
        arms = ("stable", "canary")
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record.keys() - arms}
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
