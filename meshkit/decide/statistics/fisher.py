"""Fisher's exact test, one sided: whether the share of bad requests has risen between two windows.

Given the number of bad requests in both windows together, it is the probability that so many of them, or
more, fall into the later one if nothing has changed. It needs no model and no minimum sample: few requests
give no small probability. It holds for one look; each further look adds its own risk (the union bound).
"""

from __future__ import annotations

from math import exp, lgamma


def rise_probability(bad_before: int, all_before: int, bad_after: int, all_after: int) -> float:
    """The probability of ``bad_after`` or more bad ones of ``all_after`` if the share had stayed the same.

    >>> round(rise_probability(1, 100, 9, 100), 4)
    0.0092
    >>> rise_probability(0, 0, 5, 10)
    1.0
    """
    bad, whole = bad_before + bad_after, all_before + all_after
    least, most = max(bad_after, bad - all_before), min(bad, all_after)
    logs = (
        _log_choose(all_after, k) + _log_choose(all_before, bad - k) - _log_choose(whole, bad)
        for k in range(least, most + 1)
    )
    return min(1.0, sum(map(exp, logs)))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
