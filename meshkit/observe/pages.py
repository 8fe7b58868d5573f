"""Read the metrics pages of the sidecars through the API server's pod proxy, without Prometheus.

A page that could not be read is None and never a page without counters. A reading reports how many sidecars
were asked and how many answered.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from meshkit.errors import ClusterError
from meshkit.facts import Object
from meshkit.kube.kinds import POD
from meshkit.kube.pods import running_container
from meshkit.meshes.metrics import MetricTable

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

T = TypeVar("T")
_AT_ONCE = 8
PAGE_TIMEOUT_S = 2.0
"""The timeout for one pod, in seconds; a pod that exceeds it is missing from the reading."""


@dataclass(frozen=True)
class PageReading(Generic[T]):
    """The parsed pages of running sidecars at one time; None for a page that could not be read.

    The key is unique for each start of a proxy: the pod's uid and the restart count of its sidecar.
    ``taken_s`` is the start of the reading, ``started_s`` the start of the oldest sidecar, ``started`` that
    of each (seconds since the epoch).
    """

    taken_s: float
    started_s: float
    pages: Mapping[str, T | None]
    started: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    @property
    def asked(self) -> int:
        """The number of sidecars that were asked."""
        return len(self.pages)

    @property
    def answered(self) -> int:
        """The number of sidecars that answered."""
        return sum(page is not None for page in self.pages.values())


def read_pages(
    cluster: Cluster,
    tables: Iterable[MetricTable],
    parse: Callable[[str, MetricTable, Object], T],
    *,
    namespace: str | None = None,
) -> PageReading[T]:
    """Read the pages of all running sidecars that one of these tables describes, a few at a time.

    With ``namespace``, only those of its pods are read. ``parse`` converts the text of a page, for its table
    and pod. Needs list on pods and get on pods/proxy.
    """
    found = sidecars(cluster, tables, None if namespace is None else (namespace,))
    # Shuffled, so that hanging pods do not always hold up the same other pods.
    random.shuffle(found)
    return pages_of(cluster, found, parse)


def pages_of(
    cluster: Cluster,
    found: Sequence[Sidecar],
    parse: Callable[[str, MetricTable, Object], T],
    *,
    counters: Sequence[str] = (),
    within_s: float | None = None,
) -> PageReading[T]:
    """Read the pages of these sidecars in their order, a few at a time.

    With ``counters``, a proxy that can do so writes only the counters of these names. Sidecars whose turn
    does not come within ``within_s`` seconds are not asked and not in the reading.
    """
    taken_s = time.time()
    until_s = None if within_s is None else time.monotonic() + within_s

    def read(sidecar: Sidecar) -> tuple[bool, T | None]:
        if until_s is not None and time.monotonic() > until_s:
            return False, None
        text = sidecar.page(cluster, counters)
        return True, None if text is None else parse(text, sidecar.table, sidecar.pod)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip((each.name for each in found), pool.map(read, found), strict=True))
    pages = {name: page for name, (asked, page) in answers.items() if asked}
    started = {each.name: each.started_s for each in found if each.name in pages}
    return PageReading(taken_s, min(started.values(), default=taken_s), pages, started=started)


@dataclass(frozen=True)
class Sidecar:
    """A running sidecar, with the status of its container."""

    table: MetricTable
    pod: Object
    status: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The key of its page in a reading."""
        return f"{self.pod['metadata']['uid']}/{self.status.get('restartCount', 0)}"

    @property
    def namespace(self) -> str:
        """The namespace of its pod."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def started_s(self) -> float:
        """When it started, in seconds since the epoch."""
        started = (self.status["state"]["running"] or {}).get("startedAt")
        return datetime.fromisoformat(str(started)).timestamp() if started else time.time()

    def page(self, cluster: Cluster, counters: Sequence[str] = ()) -> str | None:
        """The text of its page, or None if it does not answer.

        The whole page is read from a proxy that refuses to write only some of its counters.
        """
        if counters and self.table.filtered:
            try:
                return self._get(cluster, *self.table.filtered(counters))
            except ClusterError as error:
                if error.status is None:
                    return None
        try:
            return self._get(cluster, self.table.port, self.table.path)
        except ClusterError:
            return None

    def _get(self, cluster: Cluster, port: int, path: str) -> str:
        name = self.pod["metadata"]["name"]
        return cluster.api.pod_get(self.namespace, name, port, path, timeout_s=PAGE_TIMEOUT_S)


def sidecars(
    cluster: Cluster, tables: Iterable[MetricTable], namespaces: Iterable[str] | None = None
) -> list[Sidecar]:
    """The running sidecars that one of these tables describes, in some namespaces or in all."""
    known = tuple(tables)
    places: Iterable[str | None] = (None,) if namespaces is None else sorted(namespaces)
    return [
        Sidecar(table, pod, status)
        for namespace in places
        for pod in cluster.api.list(POD, namespace)
        for table in known
        if (status := running_container(pod, table.sidecar))
    ]
