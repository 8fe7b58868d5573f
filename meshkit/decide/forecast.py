"""How long evidence takes to come, from the rates of both versions and what the baseline looks like.

Used before a release (plan.py) and in its sentences ("about 8 min more would decide"). All times assume
that the canary is not worse, and hold with POWER.

The evidence against a null that lies ``d`` log odds above the truth rises, with information V (the variance
of the canary's count given the margins, summed), like a normal variable of mean V d^2/2 and variance V d^2.
So it reaches ln(1/alpha), and the 1.9 that averaging over the grid of alternatives costs, at

    V = ((z + sqrt(z^2 + 2 (ln(1/alpha) + 1.9))) / d)^2

and a canary request brings V (1 - w) p (1 - p) at a share w and a share p of events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from meshkit.decide.margins import FIRST_TESTS, LatencyMargin
from meshkit.decide.statistics.points import divergence, points_rate
from meshkit.decide.statistics.sequential import WORSE, Likelihood, Table
from meshkit.decide.thresholds import Yardstick

POWER = 0.9
"""The share of releases that finish within the forecast time if the canary is not worse."""
GRID_COST = 1.9
"""Natural log of what averaging over the alternatives costs against knowing the right one (simulated)."""
LONGEST_S = 365 * 86_400.0
"""Times beyond a year count as infinite."""
_MANY_EVENTS = 2000.0
_Z = NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Rates:
    """Requests per second of both versions."""

    canary: float
    stable: float

    @classmethod
    def at(cls, rps: float, percent: float) -> Rates:
        """Split ``rps`` so that the canary gets ``percent``."""
        return cls(rps * percent / 100, rps * (1 - percent / 100))

    @property
    def paired(self) -> float:
        """Canary requests per second times the share of stable, which determines the rate of evidence."""
        both = self.canary + self.stable
        return self.canary * self.stable / both if both else 0.0


def information_needed(shift: float, alpha: float) -> float:
    """The information that refutes a null ``shift`` above the truth; infinite for none."""
    if shift <= 0:
        return math.inf
    return (_z_with(math.log(1 / alpha) + GRID_COST) / shift) ** 2


def latency_seconds(
    yardstick: Yardstick, margin: LatencyMargin, rates: Rates, known: float = 0.0, step_s: float = 0.0
) -> float:
    """Seconds until a margin of latency is shown, by the quicker of the two tests.

    ``known`` is the information already available, ``step_s`` the elapsed time of the current step.
    """
    if margin.refused:
        return math.inf
    baseline = yardstick.baseline
    needed = information_needed(margin.null, yardstick.alpha * FIRST_TESTS) - known
    p = baseline.share_slower(margin.edge_ms)
    compared = _over(needed, rates.paired * p * (1 - p) / yardstick.dispersion)
    if not margin.apart:
        return compared
    likeliest = margin.pairs[0]
    above, below = likeliest.usual
    weaker = min(
        rates.stable * divergence(above, margin.level),
        rates.canary * divergence(below, likeliest.below_level),
    )
    apart = _over(_log_needed(yardstick.alpha * FIRST_TESTS), weaker / yardstick.dispersion)
    return min(compared, max(0.0, apart - step_s))


def error_seconds(yardstick: Yardstick, error_points: float, rates: Rates, step_s: float = 0.0) -> float:
    """Seconds until errors are shown to be within the margin, at the baseline's share of failures.

    ``step_s`` is the elapsed time of the current step, whose counts decide.
    """
    if not (rates.canary and rates.stable):
        return math.inf
    p = yardstick.baseline.errors / max(1, yardstick.baseline.answered)
    rate = points_rate(error_points, p, rates.canary, rates.stable, yardstick.errors_by_pods)
    return max(0.0, _over(_log_needed(yardstick.alpha), rate / yardstick.dispersion) - step_s)


def least_error_points(yardstick: Yardstick, rates: Rates, seconds: float) -> float:
    """The smallest margin of errors in points that can be shown in so many seconds; infinite if none."""
    low, high = 0.0, 100.0
    if error_seconds(yardstick, high, rates) > seconds:
        return math.inf
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if error_seconds(yardstick, middle, rates) <= seconds else (middle, high)
    return high


def harm_seconds(yardstick: Yardstick, share: float, log_odds: float, weight: float, rates: Rates) -> float:
    """Seconds until a harmful canary is rolled back.

    Its odds of an event with that ``share`` are e^``log_odds`` times stable's; ``weight`` is the event's part
    of the evidence of harm. The expected counts, large enough for rounding not to matter, are evaluated with
    the likelihood itself.
    """
    tolerance = yardstick.tolerance_errors
    if log_odds <= tolerance or not rates.paired:
        return math.inf
    odds = share / (1 - share) * math.exp(log_odds)
    worse = odds / (1 + odds)
    seconds = _MANY_EVENTS / min(rates.canary * worse, rates.canary * (1 - worse), rates.stable * share)
    canary, stable = round(rates.canary * seconds), round(rates.stable * seconds)
    table = Table(canary, round(canary * worse), stable, round(stable * share))
    seen = Likelihood.over([tolerance + step for step in (0.0, *WORSE)], yardstick.dispersion).updated(table)
    rate = max(seen.log_ratios(tolerance, WORSE)) / seconds
    needed = math.log(yardstick.harm_limit * len(WORSE) / weight)
    return _over(_z_with(needed) ** 2 / 2, rate)


def usual_error_share(yardstick: Yardstick) -> float:
    """The share of the baseline's requests that failed; never 0 or 1."""
    return (yardstick.baseline.errors + 0.5) / (yardstick.baseline.answered + 1)


def _log_needed(alpha: float) -> float:
    """The mean log evidence at which POWER of releases have reached 1/alpha."""
    return _z_with(math.log(1 / alpha) + GRID_COST) ** 2 / 2


def _z_with(needed: float) -> float:
    return _Z + math.sqrt(_Z * _Z + 2 * needed)


def _over(needed: float, rate: float) -> float:
    """Seconds to reach ``needed`` at ``rate``; 0 if nothing is needed, infinite beyond LONGEST_S."""
    if needed <= 0:
        return 0.0
    seconds = needed / rate if rate else math.inf
    return seconds if seconds <= LONGEST_S else math.inf
