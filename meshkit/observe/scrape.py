"""Counters from the sidecars' own metrics pages, read through the API server's pod proxy: no Prometheus is
needed.

Callers' proxies are read (their view is the user's: it holds timeouts and refused connections too), and a
caller may live in any namespace, so every meshed pod is asked, a few at a time.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import ClusterError, NoData
from meshkit.facts import Kind
from meshkit.observe.counters import CounterKey, Counters, Page, Target
from meshkit.observe.exposition import Sample, samples

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
from meshkit.meshes.metrics import MetricTable

_AT_ONCE = 8
PAGE_TIMEOUT_S = 2.0
"""A pod that has not answered by then says nothing in this look."""
LOOK_TIMEOUT_S = 4.0
"""Pods whose turn has not come by then are not asked in this look: it ends within the sum of both."""


@dataclass(frozen=True)
class ScrapeObserver:
    """An Observer that reads the pages of all meshed pods by one mesh's table."""

    table: MetricTable

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        """The counters of every proxy that is running. Needs list on pods and get on pods/proxy.

        Raises NoData when no pod has a sidecar, or when no sidecar's page could be read.
        """
        pods = [p for p in cluster.api.list(Kind("v1", "Pod")) if sidecar_status(p, self.table.sidecar)]
        if not pods:
            raise NoData(
                f"No running pod has the sidecar {self.table.sidecar}, so nothing can be measured.",
                remedy="Enable injection in the callers' namespaces and restart their workloads.",
            )
        # Not always in the same order: pods that hang must not keep the same others from being asked.
        random.shuffle(pods)
        taken_s = time.time()
        until_s = time.monotonic() + LOOK_TIMEOUT_S
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(pods))) as pool:
            read = pool.map(lambda pod: self._page(cluster, pod, target, until_s), pods)
            pages = dict(zip((_proxy_name(pod, self.table) for pod in pods), read, strict=True))
        if all(page is None for page in pages.values()):
            raise NoData(
                f"None of {len(pages)} sidecars answered on port {self.table.port}{self.table.path}.",
                remedy="Check that the API server can reach the pods, and the right to get pods/proxy.",
            )
        return Counters(taken_s=taken_s, versions=target.versions, pages=pages)

    def _page(self, cluster: Cluster, pod: Mapping[str, Any], target: Target, until_s: float) -> Page | None:
        if time.monotonic() > until_s:
            return None
        meta, table = pod["metadata"], self.table
        try:
            text = cluster.api.pod_get(
                meta["namespace"], meta["name"], table.port, table.path, timeout_s=PAGE_TIMEOUT_S
            )
        except ClusterError:
            return None
        return read_page(text, self.table, target, meta["name"])


def read_page(text: str, table: MetricTable, target: Target, pod: str = "") -> Page:
    """The counters of the metrics page of ``pod`` that belong to the target's versions."""
    return page_of(samples(text, (table.requests, f"{table.latency}_bucket")), table, target, pod)


def page_of(found: Iterable[Sample], table: MetricTable, target: Target, pod: str = "") -> Page:
    """Of the samples of one proxy, that of ``pod``, those that belong to the target's versions."""
    page: dict[CounterKey, float] = {}
    for key, value in _counters(found, table, target, pod):
        page[key] = page.get(key, 0) + value
    return page


def _counters(
    found: Iterable[Sample], table: MetricTable, target: Target, own_pod: str
) -> Iterator[tuple[CounterKey, float]]:
    names = {"service": target.service, "namespace": target.namespace}
    where = {label: value.format(**names) for label, value in table.where.items()}
    own = {**where, **table.pod_where} if own_pod and table.pod_where else None
    present = {label: value.format(**names) for label, value in table.where_present.items()}
    versions = {table.version_value.format(version=v, **names): v for v in target.versions}
    for name, labels, value in found:
        version = versions.get(labels.get(table.version_label, ""))
        if version is None or any(labels.get(label, wanted) != wanted for label, wanted in present.items()):
            continue
        if all(labels.get(label) == wanted for label, wanted in where.items()):
            pods = {"", labels.get(table.pod_label, "")}
        elif own and all(labels.get(label) == wanted for label, wanted in own.items()):
            pods = {own_pod}
        else:
            continue
        edge = labels.get("le")
        series = ",".join(f"{label}={labels[label]}" for label in sorted(labels) if label != "le")
        failed = any(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in table.failed.items())
        for pod in pods:
            if name == table.requests:
                yield CounterKey(version, "requests", series, pod=pod), value
                if failed:
                    yield CounterKey(version, "errors", series, pod=pod), value
            elif not failed:
                yield CounterKey(version, "latency", series, float(edge) if edge else math.inf, pod), value


def sidecar_status(pod: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The status of the pod's running sidecar, or None."""
    status = pod.get("status") or {}
    found = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return next((c for c in found if c.get("name") == name and "running" in (c.get("state") or {})), None)


def _proxy_name(pod: Mapping[str, Any], table: MetricTable) -> str:
    """One name for each start of a proxy: the pod's uid and how often its sidecar has been restarted."""
    sidecar = sidecar_status(pod, table.sidecar) or {}
    return f"{pod['metadata']['uid']}/{sidecar.get('restartCount', 0)}"
