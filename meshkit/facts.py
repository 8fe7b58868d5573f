"""Frozen data types that several packages share: snapshots of objects, request counts and findings."""

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
    """A reference to a cluster: its context and the address of its API server."""

    context: str
    server: str

    def __str__(self) -> str:
        return f"{self.context} ({self.server})"


@dataclass(frozen=True)
class Finding:
    """A problem that a check found. ``codes.finding`` or the parser of another program's output makes it.

    ``code`` is stable (``MK0103``); ``object`` has the form ``kind namespace/name``.
    """

    code: str
    severity: Severity
    object: str
    message: str
    remedy: str

    @property
    def anchor(self) -> str:
        """The page and anchor in docs that explain the code (``reference/findings.md#mk0103``), or empty."""
        return f"reference/findings.md#{self.code.lower()}" if self.code.startswith("MK") else ""

    def as_record(self) -> dict[str, str]:
        """The fields as a JSON-ready mapping, with the link to the documentation as ``docs``."""
        return {**vars(self), "docs": self.anchor}


@dataclass(frozen=True)
class Snapshot:
    """Objects read from one cluster at one time."""

    objects: tuple[Object, ...] = ()
    unread: tuple[str, ...] = ()
    """What the account may not read: ``VirtualService outside shop``."""

    @property
    def unread_kinds(self) -> frozenset[str]:
        """The kinds of which some objects may not be read."""
        return frozenset(each.partition(" ")[0] for each in self.unread)

    def of(self, kind: str, namespace: str | None = None) -> Iterator[Object]:
        """Iterate over the objects of a kind, in one namespace or in all."""
        for obj in self.objects:
            if obj.get("kind") == kind and namespace in (None, obj["metadata"].get("namespace")):
                yield obj

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return the object of that kind and name, or None."""
        return next((o for o in self.of(kind, namespace) if o["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class ArmCounts:
    """The answers of one version in one time window, counted by the callers' proxies.

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
        """The latency in ms at quantile ``q``, interpolated linearly within a bucket.

        None without requests. Above the last finite edge the result is that edge, as in Prometheus'
        ``histogram_quantile``.
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
    """The answers of each version between two times (seconds since the epoch).

    ``pods`` has the same counts for each pod of each version, if the proxies report them. ``pods`` and
    ``arms`` may be counted on different sides (client or server), so their sums can differ.
    ``asked_percent`` is the share that the new version was given in that time, None if it is not known.
    ``unreached`` has the failed requests for which no pod was chosen: those of a version are part of its
    counts in ``arms``, those under an empty name carry no version and are in no arm.
    """

    start_s: float
    end_s: float
    arms: Mapping[str, ArmCounts]
    pods: Mapping[str, Mapping[str, ArmCounts]] = field(default_factory=dict)
    asked_percent: float | None = None
    unreached: Mapping[str, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """The number of requests to all versions."""
        return sum(arm.requests for arm in self.arms.values())

    def share(self, version: str) -> float | None:
        """The measured share of requests to a version in percent, or None without requests."""
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
    """Objects that a planner reads: all of a kind, in one namespace or (None) in the whole cluster."""

    kind: Kind
    namespace: str | None = None
    within: tuple[str, ...] = ()
    """The namespaces to read instead if the account may not read the whole cluster."""
    optional: bool = False
    """What may not be read is left out, and named in ``Snapshot.unread``."""
