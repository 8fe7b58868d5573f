"""What the stable version looked like before the canary got traffic: which bucket edges are watched, and
what a margin means there. Both are frozen at the start, so that no later look can choose its own yardstick.

A proxy's histogram knows latencies only by its bucket edges. Every statement about a quantile therefore
becomes one about the share of requests slower than the edge nearest to it (on the logit scale, where edges
far in the tail are as far apart as they are to a reader of quantiles).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from meshkit.errors import NoData

HARM_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
"""Where a canary is compared for harm; edges nearest to the same quantiles are counted once."""
MARGIN_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
"""Where a release must show that the canary stays within its margin."""

ENOUGH = 5
"""Baseline requests beyond an edge without which no margin is judged there."""


@dataclass(frozen=True)
class Baseline:
    """The stable version's latency histogram before the first weight, cumulative as in ArmCounts."""

    latency_ms: tuple[tuple[float, int], ...]

    @property
    def requests(self) -> int:
        """Requests in the histogram."""
        return self.latency_ms[-1][1] if self.latency_ms else 0

    @property
    def edges_ms(self) -> tuple[float, ...]:
        """The watched edges in ms, rising: those nearest to HARM_QUANTILES, and those of the margins."""
        if not self.requests:
            return ()
        harm = {self.edge_ms(q) for q in HARM_QUANTILES}
        return tuple(sorted(harm | {self.margin_edge_ms(q) for _, q in MARGIN_QUANTILES}))

    def edge_ms(self, quantile: float) -> float:
        """The finite edge whose share of slower requests is nearest to 1 - ``quantile`` in log odds."""
        return self._nearest(quantile, self._finite())

    def margin_edge_ms(self, quantile: float) -> float:
        """Where a margin of that quantile is judged: the nearest edge that enough of the baseline was
        slower than.

        With coarse buckets the nearest edge may lie so far in the tail that nothing ever happens beyond it.
        """
        seen = [e for e in self._finite() if slower_than(self.latency_ms, (e,))[0] >= ENOUGH]
        return self._nearest(quantile, seen or self._finite())

    def margin_log_odds(self, edge_ms: float, percent: float) -> float:
        """The log odds ratio at ``edge_ms`` of a version whose every latency is ``percent`` % longer.

        Such a version is slower than the edge as often as the baseline is slower than edge / (1 +
        percent/100), read off its histogram, linear in log latency and log odds between edges.
        """
        return self._interpolated(edge_ms / (1 + percent / 100)) - self._logit_slower(edge_ms)

    def _nearest(self, quantile: float, edges: Sequence[float]) -> float:
        """Of edges equally near, the one next to where the requests lie: far from them nothing is told
        apart.
        """

        def distance(edge: float) -> tuple[float, float]:
            away = self._logit_slower(edge) - _logit(1 - quantile)
            return abs(away), -edge if away > 0 else edge

        return min(edges, key=distance)

    def _finite(self) -> list[float]:
        return [edge for edge, _ in self.latency_ms if math.isfinite(edge) and edge > 0]

    def _logit_slower(self, edge_ms: float) -> float:
        slower = slower_than(self.latency_ms, (edge_ms,))[0]
        return math.log((slower + 0.5) / (self.requests - slower + 0.5))

    def _interpolated(self, latency_ms: float) -> float:
        edges = self._finite()
        if len(edges) < 2:
            return self._logit_slower(edges[0])
        right = next((i for i, edge in enumerate(edges) if edge >= latency_ms), len(edges) - 1)
        right = max(right, 1)
        low, high = edges[right - 1], edges[right]
        along = (math.log(latency_ms) - math.log(low)) / (math.log(high) - math.log(low))
        start, end = self._logit_slower(low), self._logit_slower(high)
        return start + along * (end - start)


def slower_than(latency_ms: tuple[tuple[float, int], ...], edges_ms: Sequence[float]) -> tuple[int, ...]:
    """How many requests of a cumulative histogram were slower than each edge. Raises NoData for an
    unknown edge.
    """
    if not latency_ms:
        return (0,) * len(edges_ms)
    within = dict(latency_ms)
    gone = [edge for edge in edges_ms if edge not in within]
    if gone:
        raise NoData(
            f"The callers' proxies no longer count latencies at {gone[0]:g} ms.",
            remedy="Leave their histogram buckets alone while a release runs.",
        )
    return tuple(latency_ms[-1][1] - within[edge] for edge in edges_ms)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
