"""An observer that reads the counters from the sidecars' metrics pages, without Prometheus.

It reads the proxies of callers, because these also count timeouts and refused connections. A caller may be in
any namespace; known_callers.py says which proxies are asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshkit.errors import NoData
from meshkit.meshes.metrics import MetricTable, Sample
from meshkit.observe.counters import CounterKey, Counters, Page, Target
from meshkit.observe.exposition import samples
from meshkit.observe.known_callers import KnownCallers
from meshkit.observe.pages import pages_of

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

LOOK_TIMEOUT_S = 4.0
"""The time in seconds after which no further pod is asked in a reading."""


@dataclass(frozen=True)
class ScrapeObserver:
    """An Observer that reads the pages of the callers' proxies by the metric table of a mesh.

    It learns who the callers are, so one observer is for one series of readings.
    """

    table: MetricTable
    _callers: KnownCallers = field(default_factory=KnownCallers, compare=False, repr=False)

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        """Read the counters of the callers' proxies. Needs list on pods and get on pods/proxy.

        Raises NoData if no pod has a sidecar, if no page could be read, or if too few callers answered.
        """
        return self.counters_of(cluster, (target,))[0]

    def counters_of(self, cluster: Cluster, targets: Sequence[Target]) -> list[Counters]:
        """Read the counters of several targets at once: each page is read and parsed once."""
        asked = self._callers.chosen(cluster, self.table, targets)
        reading = pages_of(
            cluster,
            asked,
            lambda text, table, pod: _pages(text, table, targets, pod["metadata"]["name"]),
            counters=_names(self.table),
            within_s=LOOK_TIMEOUT_S,
        )
        if not asked:
            raise NoData(
                f"No running pod has the sidecar {self.table.sidecar}, so nothing can be measured.",
                remedy="Enable injection in the callers' namespaces and restart their workloads.",
            )
        if not reading.answered:
            raise NoData(
                f"None of {len(asked)} sidecars answered on port {self.table.port}{self.table.path}.",
                remedy="Check that the API server can reach the pods and that you may get pods/proxy.",
            )
        coverage = self._callers.learn(asked, reading.pages)
        return [
            Counters(
                reading.taken_s,
                target.versions,
                {proxy: None if found is None else found[at] for proxy, found in reading.pages.items()},
                started=reading.started,
                coverage=coverage,
            )
            for at, target in enumerate(targets)
        ]


def read_page(text: str, table: MetricTable, target: Target, pod: str = "") -> Page:
    """Parse the metrics page of ``pod`` and return the counters of the target's versions."""
    return _pages(text, table, (target,), pod)[0]


def _pages(text: str, table: MetricTable, targets: Sequence[Target], pod: str) -> list[Page]:
    listed = list(samples(text, _names(table)))
    return [page_of(listed, table, target, pod) for target in targets]


def _names(table: MetricTable) -> tuple[str, ...]:
    """The counters that a release reads."""
    return (table.requests, f"{table.latency}_bucket", *table.unreached.counters)


def page_of(page_samples: Iterable[Sample], table: MetricTable, target: Target, pod: str = "") -> Page:
    """The counters of the target's versions among the samples of the proxy of ``pod``."""
    page: dict[CounterKey, float] = {}
    listed = list(page_samples)
    for key, value in (*_counters(listed, table, target, pod), *_unreached(listed, table, target)):
        page[key] = page.get(key, 0) + value
    return page


def _counters(
    page_samples: Iterable[Sample], table: MetricTable, target: Target, own_pod: str
) -> Iterator[tuple[CounterKey, float]]:
    names = {"service": target.service, "namespace": target.namespace}
    where = target.where(table)
    own = {**where, **table.pod_where} if own_pod and table.pod_where else None
    present = {label: value.format(**names) for label, value in table.where_present.items()}
    version_label, versions = target.told_by(table)
    for name, labels, value in page_samples:
        if name not in (table.requests, f"{table.latency}_bucket"):
            continue
        version = versions.get(labels.get(version_label, ""))
        if version is None or any(labels.get(label, wanted) != wanted for label, wanted in present.items()):
            continue
        if all(labels.get(label) == wanted for label, wanted in where.items()):
            pods = {"", labels.get(table.pod_label, "")}
        elif own and all(labels.get(label) == wanted for label, wanted in own.items()):
            pods = {own_pod}
        else:
            continue
        edge, series = labels.get("le"), _series(labels)
        failed = any(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in table.failed.items())
        for pod in pods:
            if name == table.requests:
                yield CounterKey(version, "requests", series, pod=pod), value
                if failed:
                    yield CounterKey(version, "errors", series, pod=pod), value
            elif not failed:
                yield CounterKey(version, "latency", series, float(edge) if edge else math.inf, pod), value


def _unreached(
    page_samples: Iterable[Sample], table: MetricTable, target: Target
) -> Iterator[tuple[CounterKey, float]]:
    """The requests to the target for which no pod was chosen, unless a version's own counters have them."""
    patterns = target.unreached(table)
    version_label, versions = target.told_by(table)
    for name, labels, value in page_samples:
        if name not in table.unreached.counters or not any(_matches(labels, each) for each in patterns):
            continue
        if table.unreached.version_label:
            version = versions.get(labels.get(table.unreached.version_label, ""))
            if version is not None:
                yield CounterKey(version, "unreached", _series(labels)), value
        elif labels.get(version_label, "") not in versions:
            yield CounterKey("", "unreached", _series(labels)), value


def _matches(labels: Mapping[str, str], patterns: Mapping[str, str]) -> bool:
    return all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in patterns.items())


def _series(labels: Mapping[str, str]) -> str:
    return ",".join(f"{label}={labels[label]}" for label in sorted(labels) if label != "le")
