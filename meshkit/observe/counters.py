"""Raw cumulative counters of a release's versions at two times, and what each version answered in between."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from meshkit.facts import ArmCounts, Samples
from meshkit.observe.rises import rises

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

What = Literal["requests", "errors", "latency"]


class CounterKey(NamedTuple):
    """One counter of a page. ``series`` is the text that tells label sets apart; ``edge_ms`` is for latency
    only. With a ``pod`` it counts what that pod alone answered, beside the counter of its version.
    """

    version: str
    what: What
    series: str
    edge_ms: float = math.inf
    pod: str = ""


Page = Mapping[CounterKey, float]
"""What one proxy has counted since it started."""
Rises = dict[tuple[What, float], int]
"""How much each counter of one arm rose, by what it counts and, for latency, the edge in ms."""


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
    found: dict[tuple[str, str], Rises] = {}
    for key, rise in rises(before.pages, after.pages, _histogram):
        if key.what != "latency" or key.edge_ms in edges:
            of_arm = found.setdefault((key.version, key.pod), {})
            of_arm[key.what, key.edge_ms] = of_arm.get((key.what, key.edge_ms), 0) + rise
    return Samples(
        start_s=before.taken_s,
        end_s=after.taken_s,
        arms={version: _arm(found.get((version, ""), {})) for version in after.versions},
        pods={
            version: {pod: _arm(of_pod) for (of, pod), of_pod in found.items() if pod and of == version}
            for version in after.versions
        },
    )


def _histogram(key: CounterKey) -> CounterKey:
    return key._replace(edge_ms=math.inf)


def _common_edges(pages: Iterable[Page]) -> set[float]:
    of_pages = [{key.edge_ms for key in page if key.what == "latency"} for page in pages]
    return set.intersection(*filter(None, of_pages)) if any(of_pages) else set()


def _arm(risen: Rises) -> ArmCounts:
    return ArmCounts(
        requests=risen.get(("requests", math.inf), 0),
        errors=risen.get(("errors", math.inf), 0),
        latency_ms=tuple(sorted((edge, n) for (what, edge), n in risen.items() if what == "latency")),
    )
