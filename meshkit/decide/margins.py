"""What a margin of latency means on the proxies' buckets, from their conservative end.

"p99 at most 10 % worse" is a statement about two quantiles, of which a histogram shows only the share of
requests beyond its edges. With two edges it becomes one that counts can show:

- the lower edge surely lies at or below the stable version's p99: more than 1 % of its requests are slower;
- the upper edge is at most 10 % above the lower one. A canary with fewer than 1 % of its requests beyond it
  has its p99 at or below it, so within the margin, whatever the shape of its latencies.

Two such tests are run. In one the lower edge comes from the baseline, and the versions are compared at the
upper edge, so whatever slows both cancels. In the other each version is held against its own edge by itself,
which needs far fewer requests where margins and buckets are wide. Nobody knows before the start where
stable's quantile will lie: a short baseline is a rough one, and latencies change in the course of a day. So
the second test is a weighted mean over several pairs of edges around it, with the likeliest pair first. Each
pair shows the margin whatever the shape, and a mean of e-processes is one (Vovk and Wang, "E-values:
calibration, combination and applications", Annals of Statistics 49, 2021). Where no two edges have room for
a margin, the buckets cannot carry it: it is never shown, and the forecast says so, with the smallest margin
that they carry and the edges that would carry this one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshkit.decide.baseline import MARGIN_QUANTILES, Baseline
from meshkit.decide.statistics.points import divergence
from meshkit.decide.statistics.sequential import BETTER

if TYPE_CHECKING:
    from meshkit.intent.release import Margins

SURE_SD = 1.645
"""The baseline's own shares are taken at their one-sided 95 % limit."""
EDGES_IN_A_MARGIN = 3
"""Suggested edges lie so close that this many fit into a margin."""
FIRST_TESTS, OTHER_PAIRS = 0.4, 0.2
"""The weights of the comparison, of the likeliest pair, and of the other pairs together: an odds of 20 : 1 is
reached by a likeliest pair of 50 : 1 (40 : 1 if there were no others)."""
PAIRS_IN_A_MARGIN = 6
"""Pairs of edges that are nearer to each other than a sixth of the margin show the same."""
DRIFT_PERCENT = 15.0
"""How far stable's quantile may move from its baseline: the daily wave of thresholds.GROSS_PERCENT."""
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class MarginEdges:
    """The edges in ms that decide about one quantile.

    Both versions are compared at ``compared_ms``, which is within the margin of ``least_ms``; ``shift`` is
    the log odds ratio there that no canary outside the margin stays below. By themselves, stable is held
    against the lower edge of each of ``pairs_ms`` and the canary against the upper one, which is within the
    margin of it; the likeliest pair comes first.
    """

    least_ms: float
    compared_ms: float
    shift: float
    pairs_ms: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class EdgePair:
    """The edges that show a margin where stable has more than ``level`` of its requests beyond the lower one,
    and the canary fewer than ``below_level`` beyond the upper one.

    ``above`` and ``below`` are their indices among the watched ones; ``below_level`` is ``level`` less the
    spread of the pods. ``usual`` are stable's shares beyond both before the start.
    """

    above: int
    below: int
    below_level: float
    usual: tuple[float, float]


@dataclass(frozen=True)
class LatencyMargin:
    """The margin of one quantile (``level`` is the share of slower requests at it), by edges and log odds.

    ``edge`` is the index of the compared edge among the watched ones. The log odds ratio there must stay
    below ``null``, which is the shift less the spread of the pods.
    """

    quantile: str
    percent: float
    level: float
    edges: MarginEdges
    edge: int
    null: float
    pairs: tuple[EdgePair, ...]

    @property
    def edge_ms(self) -> float:
        """The edge at which both versions are compared."""
        return self.edges.compared_ms

    @property
    def shift(self) -> float:
        """The log odds ratio at the margin, before the spread of the pods is subtracted."""
        return self.edges.shift

    @property
    def steps(self) -> tuple[float, ...]:
        """The alternatives: BETTER, and "no difference at all", which lies exactly ``null`` below."""
        return tuple(sorted({*BETTER, -self.null} if self.null > 0 else BETTER, reverse=True))

    @property
    def carried(self) -> bool:
        """Whether the buckets can carry the margin at all."""
        return self.shift > 0 or bool(self.pairs)

    @property
    def refused(self) -> bool:
        """Whether no traffic can show the margin: too coarse buckets, or pods that differ by as much."""
        return self.null <= 0 and not self.apart

    @property
    def apart(self) -> bool:
        """Whether each version by itself could show the margin, at the likeliest edges."""
        return bool(self.pairs) and self.pairs[0].usual[1] < self.pairs[0].below_level

    @property
    def shown_percent(self) -> float:
        """What is shown once the margin is: the canary's quantile is at most this much above stable's."""
        edges = self.edges
        ratios = [edges.compared_ms / edges.least_ms if self.shift > 0 else 1.0]
        ratios += [below_ms / above_ms for above_ms, below_ms in edges.pairs_ms]
        return 100 * (max(ratios) - 1)


def margin_edges(baseline: Baseline, quantile: float, percent: float, edges: Sequence[float]) -> MarginEdges:
    """The edges for a margin of ``percent`` at a quantile, from some edges of the baseline, rising."""
    logit, within = _logit(1 - quantile), (1 + percent / 100) * _ROUNDING
    nearest = baseline.margin_edge_ms(quantile)
    least, compared, shift = nearest, nearest, 0.0
    surely = [edge for edge in edges if baseline.log_odds_slower(edge, -SURE_SD) >= logit]
    if surely:
        between = [edge for edge in edges if surely[-1] < edge <= surely[-1] * within]
        room = {edge: logit - baseline.log_odds_slower(edge, SURE_SD) for edge in between}

        def information(edge: float) -> float:
            share = baseline.share_slower(edge)
            return max(0.0, room[edge]) ** 2 * share * (1 - share)

        best = max(between, key=information, default=nearest)
        if room.get(best, 0.0) > 0:
            least, compared, shift = surely[-1], best, room[best]
    return MarginEdges(least, compared, shift, _pairs(baseline, quantile, within, edges))


def _pairs(
    baseline: Baseline, quantile: float, within: float, edges: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """The pairs of edges for stable and the canary by themselves: the likeliest, and those nearby.

    The likeliest is the one at which the weaker of both shows most; without any there are none. The others
    lie up to ``DRIFT_PERCENT`` from it, at most ``PAIRS_IN_A_MARGIN`` to a margin.
    """
    reached = {edge: edges[bisect_right(edges, edge * within) - 1] for edge in edges}
    likeliest = _likeliest(baseline, 1 - quantile, reached)
    if likeliest is None:
        return ()
    apart = within ** (1 / PAIRS_IN_A_MARGIN)
    far = 1 + DRIFT_PERCENT / 100
    chosen = [likeliest]
    for edge in (
        edge for edge in edges if likeliest / far <= edge <= likeliest * far and reached[edge] > edge
    ):
        if all(max(edge / other, other / edge) >= apart for other in chosen):
            chosen.append(edge)
    return tuple((edge, reached[edge]) for edge in chosen)


def _likeliest(baseline: Baseline, level: float, reached: Mapping[float, float]) -> float | None:
    """The lower edge of the pair at which the weaker of both versions shows most; None without a pair.

    Edges with hardly a request on one side are no ground to stand on.
    """
    best, found = 0.0, None
    for above, below in reached.items():
        if baseline.slower_than(above) < level * baseline.requests:
            break
        shares = baseline.share_slower(above), baseline.share_slower(below)
        if below == above or not shares[1] < level < shares[0]:
            continue
        weaker = min(divergence(share, level) for share in shares)
        if weaker > best:
            best, found = weaker, above
    return found


def watching(baseline: Baseline, margins: Margins) -> Baseline:
    """Return the baseline with the edges that the margins of a release need among its watched edges."""
    if not baseline.edges_ms:
        return baseline
    edges: set[float] = set()
    for name, quantile in MARGIN_QUANTILES:
        found = margin_edges(baseline, quantile, percents(margins)[name], baseline.finite_edges_ms)
        edges |= {found.least_ms, found.compared_ms, *(edge for pair in found.pairs_ms for edge in pair)}
    return replace(baseline, margin_edges_ms=tuple(sorted(edges)))


def latency_margins(
    baseline: Baseline, margins: Margins, by_pods: Mapping[float, float]
) -> tuple[LatencyMargin, ...]:
    """The margins of a release; ``by_pods`` is the log odds ratio by which pods alone may differ, by edge."""
    if not baseline.edges_ms:
        return ()
    found = []
    for name, quantile in MARGIN_QUANTILES:
        percent, watched = percents(margins)[name], baseline.edges_ms
        edges = margin_edges(baseline, quantile, percent, watched)
        found.append(
            LatencyMargin(
                quantile=name,
                percent=percent,
                level=1 - quantile,
                edges=edges,
                edge=watched.index(edges.compared_ms),
                null=edges.shift - by_pods[edges.compared_ms],
                pairs=tuple(_pair(baseline, 1 - quantile, *pair, by_pods) for pair in edges.pairs_ms),
            )
        )
    return tuple(found)


def _pair(
    baseline: Baseline, level: float, above_ms: float, below_ms: float, by_pods: Mapping[float, float]
) -> EdgePair:
    odds = level / (1 - level) * math.exp(-by_pods[below_ms])
    watched = baseline.edges_ms
    return EdgePair(
        watched.index(above_ms),
        watched.index(below_ms),
        odds / (1 + odds),
        (baseline.share_slower(above_ms), baseline.share_slower(below_ms)),
    )


def percents(margins: Margins) -> dict[str, float]:
    """The margins of latency in percent, by quantile."""
    return {"p50": margins.p50_percent, "p90": margins.p90_percent, "p99": margins.p99_percent}


def least_provable_percent(baseline: Baseline, quantile: float) -> float:
    """The smallest margin in percent that the buckets carry at a quantile; infinite if none."""
    below, above = _around(baseline, quantile, SURE_SD)
    return 100 * (above / below - 1) if 0 < below < above else math.inf


def edges_to_carry(baseline: Baseline, margins: Margins) -> tuple[float, ...]:
    """Bucket edges in ms that carry the margins: the present ones, and closer ones around each quantile."""
    edges = set(baseline.finite_edges_ms)
    for name, quantile in MARGIN_QUANTILES:
        margin = 1 + percents(margins)[name] / 100
        below, above = _around(baseline, quantile, 0.0)
        ratio = margin ** (1 / EDGES_IN_A_MARGIN)
        if below > 0 and above < math.inf and above / below > ratio:
            edges |= _ladder(below / margin, above * margin * margin, ratio)
    return tuple(sorted(edges))


def _around(baseline: Baseline, quantile: float, deviations: float) -> tuple[float, float]:
    """The nearest edges that lie below and above a quantile (0 and infinite: none), surely so by
    ``deviations``.
    """
    logit = _logit(1 - quantile)
    edges = baseline.finite_edges_ms
    below = [edge for edge in edges if baseline.log_odds_slower(edge, -deviations) >= logit]
    above = [edge for edge in edges if baseline.log_odds_slower(edge, deviations) < logit]
    return (below[-1] if below else 0.0), (above[0] if above else math.inf)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _ladder(first: float, last: float, ratio: float) -> set[float]:
    """Edges from ``first`` to ``last`` at about this ratio, to three digits."""
    steps = math.ceil(math.log(last / first) / math.log(ratio))
    return {float(f"{first * ratio**i:.3g}") for i in range(steps + 1)}
