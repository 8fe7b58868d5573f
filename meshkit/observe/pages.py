"""Read the metrics pages of the sidecars through the API server's pod proxy, without Prometheus.

A page that could not be read is None and never a page without counters. A reading reports how many sidecars
were asked and how many answered.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
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
    """The parsed pages of all running sidecars at one time; None for a page that could not be read.

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
    within_s: float | None = None,
    namespace: str | None = None,
) -> PageReading[T]:
    """Read the pages of all running sidecars that one of these tables describes, a few at a time.

    With ``namespace``, only those of its pods are read.
    ``parse`` converts the text of a page, for its table and pod. Sidecars whose turn does not come within
    ``within_s`` seconds are not asked. Needs list on pods and get on pods/proxy.
    """
    taken_s = time.time()
    found = _sidecars(cluster, tuple(tables), namespace)
    # Shuffled, so that hanging pods do not always prevent the same other pods from being asked.
    random.shuffle(found)
    until_s = None if within_s is None else time.monotonic() + within_s

    def read(sidecar: _Sidecar) -> T | None:
        if until_s is not None and time.monotonic() > until_s:
            return None
        text = sidecar.page(cluster)
        return None if text is None else parse(text, sidecar.table, sidecar.pod)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read_in_turn = pool.map(read, found)
        pages = dict(zip((each.name for each in found), read_in_turn, strict=True))
    started = {each.name: each.started_s for each in found}
    return PageReading(taken_s, min(started.values(), default=taken_s), pages, started=started)


@dataclass(frozen=True)
class _Sidecar:
    """A running sidecar, with the status of its container."""

    table: MetricTable
    pod: Object
    status: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.pod['metadata']['uid']}/{self.status.get('restartCount', 0)}"

    @property
    def started_s(self) -> float:
        started = (self.status["state"]["running"] or {}).get("startedAt")
        return datetime.fromisoformat(str(started)).timestamp() if started else time.time()

    def page(self, cluster: Cluster) -> str | None:
        """The text of its page, or None if it does not answer."""
        meta = self.pod["metadata"]
        try:
            return cluster.api.pod_get(
                meta["namespace"], meta["name"], self.table.port, self.table.path, timeout_s=PAGE_TIMEOUT_S
            )
        except ClusterError:
            return None


def _sidecars(cluster: Cluster, tables: Iterable[MetricTable], namespace: str | None) -> list[_Sidecar]:
    return [
        _Sidecar(table, pod, status)
        for pod in cluster.api.list(POD, namespace)
        for table in tables
        if (status := running_container(pod, table.sidecar))
    ]
