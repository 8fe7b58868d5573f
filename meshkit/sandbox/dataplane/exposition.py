"""Formats labels, metric families and histograms in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from meshkit.meshes.model.pods import Peer

Labels = tuple[tuple[str, str], ...]
PeerLookup = Callable[[str], Peer | None]
"""Returns the pod at "ip:port", or None if no pod has this address."""


@dataclass(frozen=True)
class Family:
    """A metric family with its exposed name, type and help text."""

    name: str
    type: str
    help: str

    def head(self) -> list[str]:
        """Return the HELP and TYPE lines of the family."""
        return [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} {self.type}"]


class Histogram:
    """A histogram of milliseconds with cumulative buckets."""

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        self._bounds_ms = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)
        self._sum_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Add one value to the histogram."""
        self._counts[bisect_left(self._bounds_ms, value_ms)] += 1
        self._sum_ms += value_ms

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        """Yield the bucket, sum and count lines for one set of labels."""
        total = 0
        for bound, count in zip((*self._bounds_ms, float("inf")), self._counts, strict=True):
            total += count
            le = "+Inf" if bound == float("inf") else f"{bound:g}" if bound < 1e5 else f"{bound:.0f}"
            yield f"{name}_bucket{braces((*labels, ('le', le)))} {total}"
        yield f"{name}_sum{braces(labels)} {self._sum_ms:.3f}"
        yield f"{name}_count{braces(labels)} {total}"


def braces(labels: Labels) -> str:
    """Format labels in braces, as they follow a metric's name."""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
