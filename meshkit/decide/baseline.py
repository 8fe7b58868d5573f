"""The baseline: measurements of the stable version before the canary gets traffic.

The baseline determines which bucket edges are watched and what a margin means at each of them. Both are fixed
at the start of a release, so that a later measurement cannot choose its own criterion.

A proxy's histogram records latencies by its bucket edges only. Harm is therefore compared as the share of
requests that are slower than the edge nearest to a quantile; "nearest" is measured in log odds, because these
separate edges in the far tail as clearly as quantiles do. Margins are judged between edges that surely lie on
the conservative side of the quantile (margins.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from meshkit.decide.admission.possible import refused_histogram
from meshkit.decide.pods import PodNoise
from meshkit.decide.sample_windows import slower_than
from meshkit.facts import ArmCounts

HARM_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
"""Where a canary is compared for harm; edges nearest to the same quantiles are counted once."""
MARGIN_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
"""Where a release must show that the canary stays within its margin."""

ENOUGH = 5
"""Baseline requests beyond an edge without which no margin is judged there."""


@dataclass(frozen=True)
class Baseline:
    """The measurements of the stable version before the first weight.

    They are its latency histogram, cumulative as in ArmCounts, its failures among all requests, the seconds
    measured, and the spread of its pods (None: not measured). ``slow_edge_ms`` is the watched edge of a
    declared objective, ``margin_edges_ms`` are those of the release's margins (``watching``).
    """

    latency_ms: tuple[tuple[float, int], ...]
    answered: int = 0
    errors: int = 0
    seconds: float = 0.0
    noise: PodNoise | None = None
    slow_edge_ms: float | None = None
    margin_edges_ms: tuple[float, ...] = ()

    @classmethod
    def of(cls, counts: ArmCounts, seconds: float = 0.0, slower_than_ms: float | None = None) -> Baseline:
        """Create a baseline from counts of the stable version over ``seconds``.

        ``slower_than_ms`` of an objective is rounded up to a bucket edge, so the objective is never stricter
        than declared.
        """
        edges = [edge for edge, _ in counts.latency_ms if math.isfinite(edge)]
        slow = next((e for e in edges if slower_than_ms is not None and e >= slower_than_ms), None)
        return cls(counts.latency_ms, counts.requests, counts.errors, seconds, slow_edge_ms=slow)

    @property
    def problem(self) -> str:
        """Why this baseline cannot be true; empty if it can."""
        if reason := refused_histogram(self.latency_ms):
            return reason
        counts = (self.answered, self.errors, self.seconds)
        if not all(math.isfinite(count) and count >= 0 for count in counts):
            return "the baseline has a count that is not a number of requests"
        return ""

    @property
    def requests(self) -> int:
        """Requests in the histogram: those that did not fail."""
        return self.latency_ms[-1][1] if self.latency_ms else 0

    @cached_property
    def edges_ms(self) -> tuple[float, ...]:
        """The watched edges in ms, rising: those of HARM_QUANTILES, of the margins and of an objective."""
        if not self.requests or not self._finite:
            return ()
        edges = {self.edge_ms(q) for q in HARM_QUANTILES}
        edges |= {self.margin_edge_ms(q) for _, q in MARGIN_QUANTILES}
        edges |= set(self.margin_edges_ms) & set(self._finite)
        return tuple(sorted(edges if self.slow_edge_ms is None else edges | {self.slow_edge_ms}))

    @cached_property
    def harm_edges_ms(self) -> tuple[float, ...]:
        """The watched edges at which harm is judged: those of HARM_QUANTILES, rising."""
        return tuple(sorted({self.edge_ms(q) for q in HARM_QUANTILES})) if self.edges_ms else ()

    @property
    def finite_edges_ms(self) -> tuple[float, ...]:
        """All finite edges of the histogram, rising."""
        return self._finite

    def edge_ms(self, quantile: float) -> float:
        """The finite edge whose share of slower requests is nearest to 1 - ``quantile`` in log odds."""
        return self._nearest(quantile, self._finite)

    def margin_edge_ms(self, quantile: float) -> float:
        """The edge at which the margin of a quantile is judged: the nearest with enough slower baseline
        requests.

        With coarse buckets the nearest edge may lie so far in the tail that no request is slower.
        """
        seen = [e for e in self._finite if self.slower_than(e) >= ENOUGH]
        return self._nearest(quantile, seen or self._finite)

    def log_odds_slower(self, edge_ms: float, deviations: float = 0.0) -> float:
        """The log odds of being slower than an edge, plus so many standard deviations of its estimate."""
        n = self.slower_than(edge_ms)
        error = math.sqrt(1 / (n + 0.5) + 1 / (self.requests - n + 0.5))
        return self._logit_slower(edge_ms) + deviations * error

    def margin_log_odds(self, edge_ms: float, percent: float) -> float:
        """The log odds ratio at ``edge_ms`` of a version whose every latency is ``percent`` % longer.

        Such a version is slower than the edge as often as the baseline is slower than edge / (1 +
        percent/100), read off its histogram, linear in log latency and log odds between edges.
        """
        return self._interpolated(edge_ms / (1 + percent / 100)) - self._logit_slower(edge_ms)

    def slower_percent(self, edge_ms: float, log_odds: float, *, upper: bool) -> float:
        """Convert log odds of being slower than ``edge_ms``, relative to the baseline, to percent of latency.

        The result is rounded to bucket edges, up for an ``upper`` bound, else down. It is the inverse of
        ``margin_log_odds``, and infinite if the histogram cannot bound it.
        """
        edges, target = self._finite, self._logit_slower(edge_ms) + log_odds
        if upper:
            reached = [edge for edge in edges if self._logit_slower(edge) >= target]
            return 100 * (edge_ms / reached[-1] - 1) if reached else math.inf
        reached = [edge for edge in edges if self._logit_slower(edge) <= target]
        return 100 * (edge_ms / reached[0] - 1) if reached else -100.0

    def slower_than(self, edge_ms: float) -> int:
        """Requests that were slower than an edge."""
        slower = self._slower.get(edge_ms)
        return slower_than(self.latency_ms, (edge_ms,))[0] if slower is None else slower

    def share_slower(self, edge_ms: float) -> float:
        """The share of requests slower than an edge, never 0 or 1: half a request is added to either side."""
        return 1 / (1 + math.exp(-self._logit_slower(edge_ms)))

    def as_record(self) -> dict[str, Any]:
        """A JSON object: what the journal stores. The infinite edge is null."""
        histogram = [(edge if math.isfinite(edge) else None, count) for edge, count in self.latency_ms]
        return {**asdict(self), "latency_ms": histogram}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Baseline:
        """The baseline that ``as_record`` stored."""
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        histogram = tuple((math.inf if e is None else float(e), int(n)) for e, n in record["latency_ms"])
        noise = PodNoise.from_record(record["noise"]) if record.get("noise") else None
        margin_edges = tuple(record.get("margin_edges_ms", ()))
        return cls(**{**fields, "latency_ms": histogram, "noise": noise, "margin_edges_ms": margin_edges})

    def _nearest(self, quantile: float, edges: Sequence[float]) -> float:
        """Select the edge nearest to a quantile; of two equally near, the one closer to most requests."""

        def distance(edge: float) -> tuple[float, float]:
            away = self._logit_slower(edge) - _logit(1 - quantile)
            return abs(away), -edge if away > 0 else edge

        return min(edges, key=distance)

    @cached_property
    def _finite(self) -> tuple[float, ...]:
        return tuple(self._logits)

    @cached_property
    def _slower(self) -> dict[float, int]:
        """The requests slower than each edge, cached because they are used often."""
        return {edge: self.requests - within for edge, within in self.latency_ms}

    @cached_property
    def _logits(self) -> dict[float, float]:
        """The log odds of being slower than each finite edge, cached because they are used often."""
        edges = tuple(edge for edge, _ in self.latency_ms if math.isfinite(edge) and edge > 0)
        slower = slower_than(self.latency_ms, edges)
        return {
            edge: math.log((n + 0.5) / (self.requests - n + 0.5))
            for edge, n in zip(edges, slower, strict=True)
        }

    def _logit_slower(self, edge_ms: float) -> float:
        return self._logits[edge_ms]

    def _interpolated(self, latency_ms: float) -> float:
        edges = self._finite
        if len(edges) < 2:
            return self._logit_slower(edges[0])
        right = next((i for i, edge in enumerate(edges) if edge >= latency_ms), len(edges) - 1)
        right = max(right, 1)
        low, high = edges[right - 1], edges[right]
        along = (math.log(latency_ms) - math.log(low)) / (math.log(high) - math.log(low))
        start, end = self._logit_slower(low), self._logit_slower(high)
        return start + along * (end - start)


def together_score(
    baseline: Baseline, edges_ms: Sequence[float], scores: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The scores of all edges as one, weighed as for a version whose every latency is longer.

    A request beyond one edge is beyond all lower ones, which gives the covariances.
    """
    shares = [baseline.share_slower(edge) for edge in edges_ms]
    weights = [baseline.margin_log_odds(edge, 10.0) for edge in edges_ms]
    if not scores:
        return 0.0, 0.0
    middle = min(range(len(shares)), key=lambda i: abs(shares[i] - 0.5))
    requests = scores[middle][1] / (shares[middle] * (1 - shares[middle]))
    variance = sum(
        weights[i] * weights[k] * shares[max(i, k)] * (1 - shares[min(i, k)])
        for i in range(len(shares))
        for k in range(len(shares))
    )
    return math.fsum(w * s for w, (s, _) in zip(weights, scores, strict=True)), requests * variance


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
