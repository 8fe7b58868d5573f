"""Cumulative counters of a release's versions, and the requests of each version between two readings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from meshkit.errors import NoData
from meshkit.facts import ArmCounts, Coverage, Samples
from meshkit.observe.rises import rises

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.meshes.metrics import MetricTable

What = Literal["requests", "errors", "latency", "unreached"]
MOST_REQUESTS = 1e15
"""More than any proxy counts; beyond it a float has no whole numbers left."""


class CounterKey(NamedTuple):
    """One counter of a page.

    ``series`` is a text that identifies the label set; ``edge_ms`` is for latency only. A counter with a
    ``pod`` has the requests of that pod alone, in addition to the counter of its version. ``unreached`` are
    failed requests for which no pod was chosen, which no other counter has; their version may be empty
    (not known).
    """

    version: str
    what: What
    series: str
    edge_ms: float = math.inf
    pod: str = ""


Page = Mapping[CounterKey, float]
"""The counters of one proxy since it started."""
Rises = dict[tuple[What, float], int]
"""The increase of each counter of one arm, by kind and, for latency, bucket edge in ms."""


@dataclass(frozen=True)
class Target:
    """The service whose versions are compared, as its callers' proxies report it."""

    namespace: str
    service: str
    port: int
    versions: tuple[str, ...]
    services: Mapping[str, str] = field(default_factory=dict)
    """Version -> its Service, where each version has one of its own."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Version -> the ``version`` label of its pods, where that is not the name of the version."""

    def told_by(self, table: MetricTable) -> tuple[str, Mapping[str, str]]:
        """The label by which a mesh's metrics tell the versions apart, and value -> version."""
        if self.services and table.service_label:
            return table.service_label, {self.services[version]: version for version in self.versions}
        names = {"service": self.service, "namespace": self.namespace}
        values = {
            table.version_value.format(version=self.labels.get(version, version), **names): version
            for version in self.versions
        }
        return table.version_label, values

    def unreached(self, table: MetricTable) -> tuple[dict[str, str], ...]:
        """The patterns of labels, any of which a request to the target has for which no pod was chosen."""
        names = {"service": re.escape(self.service), "namespace": re.escape(self.namespace)}
        return tuple(
            {name: pattern.format(**names) for name, pattern in each.items()}
            for each in table.unreached.any_of
        )

    def where(self, table: MetricTable) -> dict[str, str]:
        """The labels, with their values, that all requests to the target have."""
        label, _ = self.told_by(table)
        names = {"service": self.service, "namespace": self.namespace}
        return {name: value.format(**names) for name, value in table.where.items() if name != label}


@dataclass(frozen=True)
class Counters:
    """The pages of all proxies at one time, by a name for each start of a proxy; None: could not be read.

    ``gone`` has the last values of counters that an earlier reading had and this one lacks. ``started`` says
    when a proxy started (seconds since the epoch, 0: unknown and possibly long ago; without an entry: since
    the last reading). ``first_s`` is when the first of the readings that this one follows was taken.
    """

    taken_s: float
    versions: tuple[str, ...]
    pages: Mapping[str, Page | None]
    gone: Mapping[str, Page] = field(default_factory=dict)
    started: Mapping[str, float] = field(default_factory=dict)
    first_s: float | None = None
    coverage: Coverage | None = None
    """How many proxies were asked; None where the observer asks none of them."""

    def following(self, earlier: Counters | None) -> Counters:
        """Return this reading with the memory of ``earlier`` ones, so that what returns after a gap counts
        from the end of the gap and not with its whole history.

        A proxy that is missing now counts as unread; the last value of a missing counter is kept in ``gone``.
        """
        if earlier is None:
            return self
        pages = {**dict.fromkeys(earlier.pages), **self.pages}
        gone: dict[str, Page] = {}
        for proxy, page in pages.items():
            if page is None and earlier.pages.get(proxy) is None:
                if proxy in earlier.gone:
                    gone[proxy] = earlier.gone[proxy]
                continue
            known = {**earlier.gone.get(proxy, {}), **(earlier.pages.get(proxy) or {})}
            missing = {key: value for key, value in known.items() if page is None or key not in page}
            if missing:
                gone[proxy] = missing
        return replace(self, pages=pages, gone=gone, first_s=earlier.since_s)

    @property
    def since_s(self) -> float:
        """When the first reading was taken."""
        return self.taken_s if self.first_s is None else self.first_s

    def require_counts(self) -> None:
        """Raise ``NoData`` if a counter is negative or not finite, or if an edge is not a number."""
        if self._problem:
            remedy = "Look at its metrics page; nothing is counted while it reports such values."
            raise NoData(self._problem, remedy=remedy)

    @cached_property
    def _problem(self) -> str:
        """Kept, because a reading is compared with several others."""
        for proxy, page in self.pages.items():
            for key, value in (page or {}).items():
                if not 0 <= value <= MOST_REQUESTS or math.isnan(key.edge_ms):
                    of = key.version or "no version"
                    where = f"le={key.edge_ms:g}" if key.what == "latency" else key.what
                    return f"The proxy {proxy} reports {value:g} as its count of {where} for {of}."
        return ""


class Observer(Protocol):
    """A source of measurements."""

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        """Read the counters. Raises NoData with the reason if nothing can be measured."""
        ...


def window(before: Counters, after: Counters) -> Samples:
    """The answers of each version between two readings. Without requests the counts are zero.

    Proxies may have different buckets: the sum of cumulative histograms is exact on the edges they all have.
    A proxy that ``before`` lacks counts from zero if it started after the first reading, else from ``after``.
    Raises ``NoData`` for a counter that is not a number of requests.
    """
    before.require_counts()
    after.require_counts()
    edges = _common_edges(page for page in after.pages.values() if page is not None)
    found: dict[tuple[str, str], Rises] = {}
    older = {proxy for proxy, started_s in after.started.items() if started_s < before.since_s}
    known = {**dict.fromkeys(older), **before.pages}
    for key, rise in rises(known, after.pages, _histogram, before.gone):
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
        unreached={version: n for version in ("", *after.versions) if (n := _unreached(found, version))},
        coverage=after.coverage,
    )


def _unreached(found: Mapping[tuple[str, str], Rises], version: str) -> int:
    return found.get((version, ""), {}).get(("unreached", math.inf), 0)


def _histogram(key: CounterKey) -> CounterKey:
    return key._replace(edge_ms=math.inf)


def _common_edges(pages: Iterable[Page]) -> set[float]:
    of_pages = [{key.edge_ms for key in page if key.what == "latency"} for page in pages]
    return set.intersection(*filter(None, of_pages)) if any(of_pages) else set()


def _arm(risen: Rises) -> ArmCounts:
    unreached = risen.get(("unreached", math.inf), 0)
    return ArmCounts(
        requests=risen.get(("requests", math.inf), 0) + unreached,
        errors=risen.get(("errors", math.inf), 0) + unreached,
        latency_ms=tuple(sorted((edge, n) for (what, edge), n in risen.items() if what == "latency")),
    )
