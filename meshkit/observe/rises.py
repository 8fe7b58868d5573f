"""How much cumulative counters rose between two readings of the same proxies' pages.

A counter only rises, except that its proxy may start again (a new page, or a value that fell: it counts from
zero) or drop a series that has been idle (the series vanishes: nothing is known to have happened; when it
comes back it counts from zero). A page that could not be read at one end says nothing about the window: its
proxy is left out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
Page = Mapping[K, float]
"""What one proxy has counted since it started, by counter."""


def rises(
    before: Mapping[str, Page[K] | None],
    after: Mapping[str, Page[K] | None],
    together: Callable[[K], Hashable] = lambda key: key,
) -> Iterator[tuple[K, int]]:
    """Each counter of each proxy with its rise. A counter of several proxies comes several times.

    ``together`` names what restarts together: where one bucket of a histogram fell, all of that histogram
    count from zero.
    """
    for proxy, page in after.items():
        old = before.get(proxy, {})
        if page is None or old is None:
            continue
        restarted = {together(key) for key, value in page.items() if value < old.get(key, 0)}
        for key, value in page.items():
            yield key, round(value if together(key) in restarted else value - old.get(key, 0))
