"""How far a count of random outcomes may be from its share before a test calls it wrong."""

from __future__ import annotations

from scipy.stats import binom

ONCE_IN = 1e9
"""A correct program is called wrong once in so many runs, on each side."""


def usual(share: float, draws: int) -> range:
    """The counts of outcomes with this share that occur in all but the rarest runs."""
    least, most = (int(binom.ppf(tail, draws, share)) for tail in (1 / ONCE_IN, 1 - 1 / ONCE_IN))
    return range(least, most + 1)
