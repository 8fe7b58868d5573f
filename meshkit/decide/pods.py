"""The differences between the stable version's own pods (an A/A split), and the tolerance derived from them.

The conditional test is exact if every request is assigned to a version independently. Two effects violate
this assumption, and a longer measurement removes neither. Both are therefore measured on the stable pods
before the first weight, or assumed where the stable pods are too few to show them:

- *Pods differ during their whole life*, for example by node, neighbours or start. A few canary pods may then
  be slow by chance. With ``s``, the standard deviation of the pods' log odds without its random part, the
  tolerance becomes t * s * sqrt(1/canary pods + 1/stable pods). Here t is the 1 - alpha/4 quantile of
  Student's distribution: errors and latencies use a quarter of alpha each, the requests the other half.
- *Requests are correlated*, for example by sticky clients, retries or long connections. Counts then vary more
  than independent requests would. ``dispersion`` is the chi-squared statistic of pods against blocks of time,
  divided by its degrees of freedom; a pod that is always slower, or a block that is slower for all pods, does
  not contribute. It divides the likelihood. This correction is asymptotic, not exact, and reported as such.

Where latencies are compared within zones (admission/zones.py), the zones' own differences are no spread of
pods: the mean of each zone is taken out, as long as LEAST_PODS - 1 degrees of freedom are left. A zone with
one stable pod and several of the canary is then compared with that one pod, which widens the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from meshkit.decide.sample_windows import slower_than
from meshkit.facts import ArmCounts

if TYPE_CHECKING:
    from meshkit.decide.baseline import Baseline

LEAST_PODS = 4
"""The minimum number of stable pods for a measurement; with fewer, Student's quantile exceeds any margin."""
ASSUMED_LATENCY_SD, ASSUMED_ERRORS_SD = 0.05, 0.2
"""What pods of one version are assumed to differ by where they are too few: the standard deviations of the
logarithm of latency, and of the log odds of failing.
"""
_LEAST_EXPECTED = 5.0
_BEYOND_CHANCE_SD = 3.0

Counts = tuple[int, int]
"""Requests, and events among them."""


@dataclass(frozen=True)
class PodNoise:
    """The spread of the stable pods before the first weight.

    ``sd_errors`` and ``sd_slower`` (one for each watched edge) are standard deviations of the pods' log odds.
    ``dispersion`` is the variance of the counts relative to independent requests, 1 unless it is significant.
    ``assumed``: there were too few pods to measure, so the standard deviations are ASSUMED_*. ``zones`` is
    how many means were taken out of the spread. ``variance`` is that of the difference between both versions,
    where the pods' own is 1; None: 1/canary pods + 1/stable pods.
    """

    stable_pods: int
    canary_pods: int
    sd_errors: float
    sd_slower: tuple[float, ...]
    dispersion: float = 1.0
    assumed: bool = False
    zones: int = 1
    variance: float | None = None

    def tolerance(self, sd: float, alpha: float) -> float:
        """The log odds ratio that such pods exceed by chance with a probability of at most alpha/4."""
        if self.assumed:
            quantile = NormalDist().inv_cdf(1 - alpha / 4)
        else:
            quantile = student_quantile(1 - alpha / 4, self.stable_pods - self.zones)
        plain = 1 / self.canary_pods + 1 / self.stable_pods
        return quantile * sd * math.sqrt(plain if self.variance is None else self.variance)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PodNoise:
        """The noise that a journal stores as plain fields."""
        return cls(**{**record, "sd_slower": tuple(record["sd_slower"])})


@dataclass(frozen=True)
class Placement:
    """How many pods of each version run in each zone; the empty zone stands for unknown ones."""

    stable: Mapping[str, int] = field(default_factory=dict)
    canary: Mapping[str, int] = field(default_factory=dict)

    @property
    def stable_pods(self) -> int:
        """The number of stable pods."""
        return sum(self.stable.values())

    @property
    def canary_pods(self) -> int:
        """The number of the canary's pods."""
        return sum(self.canary.values())

    @property
    def common(self) -> tuple[str, ...]:
        """The zones within which latencies are compared; none where zones make no difference."""
        zones = {*self.stable, *self.canary}
        if "" in zones or len(zones) < 2:
            return ()
        return tuple(sorted(set(self.stable) & set(self.canary)))

    @property
    def variance(self) -> float | None:
        """The variance of the difference between both versions within the common zones, with that of a pod as
        1; None without such zones.

        A zone weighs as the requests of both versions there have it; this is the larger of both ends: few
        requests to the canary, or few to stable.
        """
        if not self.common:
            return None
        return max(
            sum(weights[zone] ** 2 * (1 / self.canary[zone] + 1 / self.stable[zone]) for zone in self.common)
            / sum(weights[zone] for zone in self.common) ** 2
            for weights in (self.canary, self.stable)
        )


def pod_noise(
    blocks: Sequence[Mapping[str, ArmCounts]],
    edges_ms: Sequence[float],
    placement: Placement,
    zones: Mapping[str, str] | None = None,
) -> PodNoise | None:
    """The noise of the pods that were there in all ``blocks`` of time; None below LEAST_PODS of them.

    ``zones`` has the zone of each pod, for a comparison within zones. Where the canary's pods are unknown,
    one is assumed.
    """
    blocks = [block for block in blocks if block]
    pods = sorted(set.intersection(*(set(block) for block in blocks))) if blocks else []
    if len(pods) < LEAST_PODS:
        return None
    groups = _groups(pods, placement, zones or {})
    failed = [[(block[pod].requests, block[pod].errors) for pod in pods] for block in blocks]
    slower = []
    for edge in edges_ms:
        counted = [[block[pod].latency_ms for pod in pods] for block in blocks]
        slower.append([[(h[-1][1] if h else 0, slower_than(h, (edge,))[0]) for h in row] for row in counted])
    of_slower = [found for found in map(_dispersion, slower) if found is not None]
    return PodNoise(
        stable_pods=len(pods),
        canary_pods=max(1, placement.canary_pods),
        sd_errors=_spread(failed, groups),
        sd_slower=tuple(_spread(one, groups) for one in slower),
        dispersion=max(1.0, _dispersion(failed) or 1.0, _mean(of_slower)),
        zones=len(set(groups)),
        variance=placement.variance,
    )


def assumed_noise(baseline: Baseline, placement: Placement) -> PodNoise:
    """The noise to assume of fewer pods than can be measured."""
    percent = 100 * math.expm1(ASSUMED_LATENCY_SD)
    slower = tuple(max(0.0, baseline.margin_log_odds(edge, percent)) for edge in baseline.edges_ms)
    return PodNoise(
        placement.stable_pods,
        max(1, placement.canary_pods),
        ASSUMED_ERRORS_SD,
        slower,
        assumed=True,
        variance=placement.variance,
    )


def student_quantile(share: float, freedom: int) -> float:
    """The quantile of Student's t distribution, by bisection of its finite series (freedom 1, 2, 3 ...)."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_share(middle, freedom) < share else (low, middle)
    return low


def _student_share(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0 (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cos, sin = math.cos(angle), math.sin(angle)
    term, total = (cos, cos) if freedom % 2 else (1.0, 1.0)
    for i in range(2 if freedom % 2 else 1, freedom - 2, 2):
        term *= cos * cos * i / (i + 1)
        total += term
    if freedom == 1:
        return 0.5 + angle / math.pi
    inner = (angle + sin * total) * 2 / math.pi if freedom % 2 else sin * total
    return 0.5 + inner / 2


def _groups(pods: Sequence[str], placement: Placement, zones: Mapping[str, str]) -> list[str]:
    """The zone of each pod whose mean is taken out of the spread; one for all if too few pods are left."""
    groups = [zones.get(pod, "") if placement.common else "" for pod in pods]
    return groups if len(pods) - len(set(groups)) >= LEAST_PODS - 1 else [""] * len(pods)


def _spread(blocks: Sequence[Sequence[Counts]], groups: Sequence[str]) -> float:
    """The standard deviation of log odds between pods of the same group, chance subtracted; 0 unless
    chi-squared refutes at 5 % that the pods are alike.
    """
    totals = [(sum(n for n, _ in pod), sum(x for _, x in pod)) for pod in zip(*blocks, strict=True)]
    logits = [_logit([total]) for total in totals]
    chance = _mean([1 / (x + 0.5) + 1 / (n - x + 0.5) for n, x in totals])
    of_group: dict[str, list[float]] = {}
    for group, logit in zip(groups, logits, strict=True):
        of_group.setdefault(group, []).append(logit)
    freedom = len(logits) - len(of_group)
    squares = sum((one - _mean(each)) ** 2 for each in of_group.values() for one in each)
    variance = squares / freedom
    alike = squares / chance <= _chi_squared_95(freedom) if chance else True
    return 0.0 if alike else math.sqrt(max(0.0, variance - chance))


def _chi_squared_95(freedom: int) -> float:
    """The 95 % quantile of chi-squared (Wilson and Hilferty's approximation)."""
    width = 2 / (9 * freedom)
    return float(freedom * (1 - width + 1.6449 * math.sqrt(width)) ** 3)


def _dispersion(blocks: Sequence[Sequence[Counts]]) -> float | None:
    """Chi-squared over degrees of freedom of the counts, pods' and blocks' own log odds taken out; 1 where
    chance would show as much, None where there is too little to tell.
    """
    pods = list(zip(*blocks, strict=True))
    freedom = (len(pods) - 1) * (len(blocks) - 1)
    requests, events = (sum(count[i] for row in blocks for count in row) for i in (0, 1))
    if not freedom or not 0 < events < requests or events / len(pods) / len(blocks) < _LEAST_EXPECTED:
        return None
    overall = _logit([(requests, events)])
    of_pod, of_block = ([_logit(group) - overall for group in groups] for groups in (pods, blocks))
    chi_squared = 0.0
    for row, block in zip(blocks, of_block, strict=True):
        for (n, x), pod in zip(row, of_pod, strict=True):
            share = 1 / (1 + math.exp(-(overall + block + pod)))
            if n:
                chi_squared += (x - n * share) ** 2 / (n * share * (1 - share))
    found = chi_squared / freedom
    return found if found > 1 + _BEYOND_CHANCE_SD * math.sqrt(2 / freedom) else 1.0


def _logit(counts: Sequence[Counts]) -> float:
    events = sum(x for _, x in counts) + 0.5
    return math.log(events / (sum(n for n, _ in counts) + 1 - events))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
