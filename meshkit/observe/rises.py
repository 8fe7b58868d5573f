"""The increase of cumulative counters between two readings of the same proxies.

A counter never decreases, with two exceptions. If its proxy restarts (a new page, or a lower value), it
counts from zero. If the proxy drops an idle series, the increase is zero; a series that reappears counts from
zero. If it reappears with at least the value it had before the gap, it has no increase in that window: its
requests during the gap belong to no window. A proxy whose page could not be read at the start or end of a
window is excluded from it. A proxy that is new counts from zero; who knows that it is older than that names
it in ``before`` without a page.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
Page = Mapping[K, float]
"""The values of one proxy's counters since it started."""


def rises(
    before: Mapping[str, Page[K] | None],
    after: Mapping[str, Page[K] | None],
    together: Callable[[K], Hashable] = lambda key: key,
    gone: Mapping[str, Page[K]] = MappingProxyType({}),
) -> Iterator[tuple[K, int]]:
    """Yield each counter of each proxy with its increase. A counter of several proxies occurs several times.

    ``together`` groups counters that reset together: if one bucket of a histogram has decreased, all counters
    of the histogram count from zero. ``gone`` holds the last values of counters that are missing from
    ``before`` although they were read earlier.
    """
    for proxy, page in after.items():
        old = before.get(proxy, {})
        if page is None or old is None:
            continue
        earlier = gone.get(proxy, {})
        restarted = {
            together(key) for key, value in page.items() if value < old.get(key, earlier.get(key, 0))
        }
        continued = {together(key) for key in page if key not in old and key in earlier} - restarted
        for key, value in page.items():
            group = together(key)
            if group in continued:
                yield key, 0
            else:
                yield key, round(value if group in restarted else value - old.get(key, 0))


def totals(
    before: Mapping[str, Page[K] | None], after: Mapping[str, Page[K] | None]
) -> tuple[dict[K, int], dict[K, int]]:
    """The rise of each counter over all proxies, and its value since these started; without zeros."""
    window: dict[K, int] = {}
    whole: dict[K, int] = {}
    for key, rise in rises(before, after):
        window[key] = window.get(key, 0) + rise
    for page in after.values():
        for key, value in (page or {}).items():
            if value:
                whole[key] = whole.get(key, 0) + round(value)
    return {key: n for key, n in window.items() if n}, whole
