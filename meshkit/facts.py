"""Plain frozen data that several layers share: objects read, counts measured, findings made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Object = Mapping[str, Any]
"""A Kubernetes object as its API server sent it (JSON)."""


class Kind(NamedTuple):
    """A kind of Kubernetes object: ``Kind("apps/v1", "Deployment")``."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]


Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class ClusterRef:
    """Which cluster something was read from or done to: its context, and the address of its API server."""

    context: str
    server: str

    def __str__(self) -> str:
        return f"{self.context} ({self.server})"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found, made by ``codes.finding`` or read from another program.

    ``code`` is stable (``MK0103``), ``object`` reads ``kind namespace/name``.
    """

    code: str
    severity: Severity
    object: str
    message: str
    remedy: str

    @property
    def anchor(self) -> str:
        """The place in docs that explains the code: ``reference/findings.md#mk0103``. Else empty."""
        return f"reference/findings.md#{self.code.lower()}" if self.code.startswith("MK") else ""

    def as_record(self) -> dict[str, str]:
        """The fields for programs, with the place in the documentation as ``docs``."""
        return {**vars(self), "docs": self.anchor}


@dataclass(frozen=True)
class Snapshot:
    """Objects read from one cluster at one time."""

    objects: tuple[Object, ...] = ()

    def of(self, kind: str, namespace: str | None = None) -> Iterator[Object]:
        """The objects of a kind, in one namespace or in all."""
        for obj in self.objects:
            if obj.get("kind") == kind and namespace in (None, obj["metadata"].get("namespace")):
                yield obj

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object of that name, or None."""
        return next((o for o in self.of(kind, namespace) if o["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class ArmCounts:
    """What one version answered in one window, counted by the callers' proxies.

    ``latency_ms`` is a cumulative histogram of the requests that did not fail: (upper edge in ms, requests at
    or below it), rising, the last edge infinite.
    """

    requests: int = 0
    errors: int = 0
    latency_ms: tuple[tuple[float, int], ...] = ()

    def __add__(self, other: ArmCounts) -> ArmCounts:
        return ArmCounts(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            latency_ms=_add_histograms(self.latency_ms, other.latency_ms),
        )

    @property
    def error_share(self) -> float | None:
        """Errors per request, or None without requests."""
        return self.errors / self.requests if self.requests else None

    def quantile_ms(self, q: float) -> float | None:
        """The latency in ms that a share ``q`` of the requests stayed below, linear within a bucket.

        None without requests. Beyond the last finite edge it is that edge (as Prometheus'
        ``histogram_quantile`` has it).
        """
        total = self.latency_ms[-1][1] if self.latency_ms else 0
        if not total:
            return None
        rank, low_edge, low_count = q * total, 0.0, 0
        for edge, count in self.latency_ms:
            if count >= rank and count > low_count:
                if math.isinf(edge):
                    return low_edge
                return low_edge + (edge - low_edge) * (rank - low_count) / (count - low_count)
            low_edge, low_count = edge, count
        return low_edge


@dataclass(frozen=True)
class Samples:
    """What each version answered between two times (seconds since the epoch).

    ``pods`` says the same of single pods, version by version, where the proxies tell them apart. It may be
    counted on another side than ``arms``, so the two need not add up.
    """

    start_s: float
    end_s: float
    arms: Mapping[str, ArmCounts]
    pods: Mapping[str, Mapping[str, ArmCounts]] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Requests of all versions together."""
        return sum(arm.requests for arm in self.arms.values())

    def share(self, version: str) -> float | None:
        """The measured share of a version in percent, or None without any request."""
        total = self.requests
        return 100.0 * self.arms[version].requests / total if total and version in self.arms else None


def _add_histograms(
    left: tuple[tuple[float, int], ...], right: tuple[tuple[float, int], ...]
) -> tuple[tuple[float, int], ...]:
    if not left or not right:
        return left or right
    edges = sorted({edge for edge, _ in left} | {edge for edge, _ in right})
    if len(edges) != len(left) or len(edges) != len(right):
        raise ValueError("histograms with different edges cannot be added")
    return tuple((edge, a + b) for (edge, a), (_, b) in zip(left, right, strict=True))


@dataclass(frozen=True)
class Need:
    """Objects that a planner must see: all of a kind, in one namespace or (None) in the cluster."""

    kind: Kind
    namespace: str | None = None
