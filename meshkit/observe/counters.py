"""Raw cumulative counters at two times, and what happened between them.

A counter only rises, except that its proxy may start again (a new page, or a value that fell: it counts
from zero) or drop a series that has been idle (the series vanishes: nothing is known to have happened; when
it comes back it counts from zero). A page that could not be read at one end says nothing about the window:
its pod is left out of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from meshkit.facts import ArmCounts, Samples

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

What = Literal["requests", "errors", "latency"]


class CounterKey(NamedTuple):
    """One counter of a page. ``series`` is the text that tells label sets apart; ``edge_ms`` is for latency
    only.
    """

    version: str
    what: What
    series: str
    edge_ms: float = math.inf


Page = Mapping[CounterKey, float]
"""What one proxy has counted since it started."""


@dataclass(frozen=True)
class Target:
    """The service whose versions are compared, as its callers' proxies see it."""

    namespace: str
    service: str
    port: int
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Counters:
    """Pages by proxy (one name for each start of a proxy) at one time; None where a page could not be
    read.
    """

    taken_s: float
    versions: tuple[str, ...]
    pages: Mapping[str, Page | None]


class Observer(Protocol):
    """Where measurements come from."""

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        """The raw counters now. Raises NoData where nothing can be measured at all, with the reason."""
        ...


def window(before: Counters, after: Counters) -> Samples:
    """What each version answered between two readings. No requests are zero counts, not an error.

    Proxies may have different buckets: a cumulative histogram stays exact on the edges that all of them have.
    """
    edges = _common_edges(page for page in after.pages.values() if page is not None)
    rises: dict[tuple[str, What, float], int] = {}
    for proxy, page in after.pages.items():
        old = before.pages.get(proxy, {})
        if page is None or old is None:
            continue
        for key, rise in _rises(old, page):
            if key.what != "latency" or key.edge_ms in edges:
                total = (key.version, key.what, key.edge_ms)
                rises[total] = rises.get(total, 0) + round(rise)
    arms = {version: _arm(version, rises) for version in after.versions}
    return Samples(start_s=before.taken_s, end_s=after.taken_s, arms=arms)


def _rises(old: Page, new: Page) -> Iterable[tuple[CounterKey, float]]:
    """The rise of each counter. Where one bucket of a histogram fell, all of that histogram count from
    zero.
    """
    restarted = {key[:3] for key, value in new.items() if value < old.get(key, 0)}
    for key, value in new.items():
        yield key, value if key[:3] in restarted else value - old.get(key, 0)


def _common_edges(pages: Iterable[Page]) -> set[float]:
    of_pages = [{key.edge_ms for key in page if key.what == "latency"} for page in pages]
    return set.intersection(*filter(None, of_pages)) if any(of_pages) else set()


def _arm(version: str, rises: Mapping[tuple[str, What, float], int]) -> ArmCounts:
    latency = sorted(
        (edge, n) for (name, what, edge), n in rises.items() if (name, what) == (version, "latency")
    )
    return ArmCounts(
        requests=rises.get((version, "requests", math.inf), 0),
        errors=rises.get((version, "errors", math.inf), 0),
        latency_ms=tuple(latency),
    )
