"""Who calls which server, as the servers' sidecars count it: passed, denied, or to be denied by a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.errors import NoData
from meshkit.facts import Object
from meshkit.meshes import registry
from meshkit.meshes.metrics import MetricTable, Outcome, ServerCall, ServerCounters
from meshkit.observe.exposition import samples
from meshkit.observe.pages import PageReading, read_pages
from meshkit.observe.rises import totals

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

Reading = PageReading[Mapping[ServerCall, float]]


@dataclass(frozen=True)
class ServerCalls:
    """The calls in a time window, and since the sidecars started."""

    window_s: float
    seen_s: float
    """The time since the oldest sidecar started, in seconds."""
    asked: int
    answered: int
    in_window: Mapping[ServerCall, int]
    in_all: Mapping[ServerCall, int]

    @property
    def coverage(self) -> str:
        """The window and the sidecars that were read, in a few words."""
        since = f"{self.seen_s:.0f} s" if self.seen_s < 120 else f"{self.seen_s / 60:.0f} min"
        read = f"{self.answered} of {self.asked} sidecars answered"
        return f"window {self.window_s:.0f} s, since the oldest sidecar started {since}; {read}"

    def count(self, *outcomes: Outcome) -> int:
        """The number of calls with these outcomes in the window."""
        return sum(n for call, n in self.in_window.items() if call.outcome in outcomes)


def read_server_calls(cluster: Cluster, mesh: str, namespace: str) -> Reading:
    """Read the counters of the sidecars of servers in a namespace.

    Needs list on pods and get on pods/proxy. Raises NoData if no pod there has a sidecar of this mesh.
    """
    table = registry.mesh(mesh).metrics

    def parse(text: str, found: MetricTable, pod: Object) -> Mapping[ServerCall, float]:
        inside = pod["metadata"]["namespace"] == namespace
        return calls_in(text, found.server_calls, pod) if inside else {}

    reading: Reading = read_pages(cluster, (table,), parse, namespace=namespace)
    if not reading.asked:
        raise NoData(
            f"No running pod of {namespace} has the sidecar {table.sidecar}, so nothing counts its callers.",
            remedy="Inject sidecars first: 'meshkit setup apply injection'.",
        )
    return reading


def calls_in(text: str, counters: ServerCounters | None, pod: Object) -> dict[ServerCall, float]:
    """The calls in a metrics page of a pod's sidecar."""
    counted: dict[ServerCall, float] = {}
    for sample in samples(text, counters.names) if counters else ():
        for call in counters.calls(sample, pod) if counters else ():
            counted[call] = counted.get(call, 0.0) + sample.value
    return counted


def calls_between(before: Reading, after: Reading) -> ServerCalls:
    """The calls between two readings."""
    window, whole = totals(before.pages, after.pages)
    seen_s = after.taken_s - after.started_s
    return ServerCalls(after.taken_s - before.taken_s, seen_s, after.asked, after.answered, window, whole)
