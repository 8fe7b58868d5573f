"""The callers of servers and how they are authenticated, from the metrics of the servers' sidecars.

A caller without a sidecar has no metrics and no name in the metrics of others: Istio reports it as
``unknown``, Linkerd reports no ``client_id``. So a plaintext link has a server, a count and a rate; its
caller is one of the pods without a sidecar. Refused calls are counted separately: by Istio as connections
that match no filter chain of the server, by Linkerd as denials with status 403. Istio's sidecars expose that
count only with a setting. Where it is missing, a reading names the servers, and nobody may take their
refusals for none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.decide.formatting import count
from meshkit.errors import NoData
from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes import registry
from meshkit.meshes.metrics import How, Link, MetricTable
from meshkit.observe.exposition import samples
from meshkit.observe.pages import PageReading, read_pages
from meshkit.observe.rises import totals

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster


@dataclass(frozen=True)
class Reading(PageReading[Mapping[Link, float]]):
    """The counters of all proxies at one time, by link."""

    unseen: frozenset[str] = frozenset()
    """The servers with a sidecar that does not expose refused connections."""


@dataclass(frozen=True)
class Calls:
    """The calls in a time window, and since the sidecars started."""

    window_s: float
    seen_s: float
    """The time since the oldest sidecar started, in seconds."""
    asked: int
    answered: int
    in_window: Mapping[Link, int]
    in_all: Mapping[Link, int]
    unseen: frozenset[str] = frozenset()
    """The servers whose refused connections cannot be seen."""

    def count(self, *how: How) -> int:
        """The number of requests (or connections) of these kinds in the window."""
        return sum(n for link, n in self.in_window.items() if link.how in how)

    def links(self, *how: How) -> list[tuple[Link, int, int]]:
        """(link, count in the window, total count), busiest first."""
        found = [(link, self.in_window.get(link, 0), n) for link, n in self.in_all.items() if link.how in how]
        return sorted(found, key=lambda row: (-row[1], -row[2], row[0]))

    @property
    def refused_text(self) -> str:
        """The refused calls in a few words, or where they cannot be seen."""
        return refused_text(self.count("refused"), self.unseen)


def refused_text(refused: int, unseen: Collection[str]) -> str:
    """Describe a count of refused calls that does not include those of the servers in ``unseen``."""
    if not unseen:
        return f"{count(refused)} refused"
    hidden = unseen_text(unseen)
    return f"{count(refused)} refused, {hidden}" if refused else hidden


def unseen_text(servers: Collection[str]) -> str:
    """Say that the refused calls of these servers cannot be seen; names the first of them."""
    more = f" and {len(servers) - 3} more" if len(servers) > 3 else ""
    return f"refusals cannot be seen at {', '.join(sorted(servers)[:3])}{more}"


def read_callers(cluster: Cluster, mesh: str, namespace: str | None = None) -> Reading:
    """Read the counters of all sidecars for servers in the namespace (None: any).

    Needs list on pods and get on pods/proxy. Raises NoData if no pod has a sidecar of this mesh.
    """
    table = registry.mesh(mesh).metrics
    unseen: set[str] = set()

    def parse(text: str, found: MetricTable, pod: Object) -> dict[Link, float]:
        links = links_in(text, found, pod, namespace)
        if hides_refusals(links, found, pod, namespace):
            unseen.add(workload(pod))
        return links

    read: PageReading[Mapping[Link, float]] = read_pages(cluster, (table,), parse)
    reading = Reading(read.taken_s, read.started_s, read.pages, frozenset(unseen))
    if not reading.asked:
        raise NoData(
            f"No running pod has the sidecar {table.sidecar}, so there are no counts of callers.",
            remedy="Inject sidecars first: the servers' proxies count plaintext calls. Where pods are in the"
            " mesh without sidecars, nothing counts them: 'meshkit apply' changes the mode without a watch.",
        )
    return reading


def between(before: Reading, after: Reading) -> Calls:
    """The calls between two readings."""
    window, whole = totals(before.pages, after.pages)
    return Calls(
        window_s=after.taken_s - before.taken_s,
        seen_s=after.taken_s - after.started_s,
        asked=after.asked,
        answered=after.answered,
        in_window=window,
        in_all=whole,
        unseen=after.unseen,
    )


def count_links(text: str, mesh: str, pod: Object, namespace: str | None) -> dict[Link, float]:
    """The links in the metrics page of a pod's sidecar, for servers in the namespace (None: any)."""
    return links_in(text, registry.mesh(mesh).metrics, pod, namespace)


def hides_refusals(
    links: Mapping[Link, float], table: MetricTable, pod: Object, namespace: str | None
) -> bool:
    """Whether the page of a server's sidecar lacks the count of refused connections, even as zero."""
    if not table.refusal_setting or namespace not in (None, pod["metadata"]["namespace"]):
        return False
    return table.may_refuse(pod) and not any(link.how == "refused" for link in links)


def links_in(text: str, table: MetricTable, pod: Object, namespace: str | None) -> dict[Link, float]:
    """The links in a metrics page, by the metric table of the sidecar's mesh."""
    counted: dict[Link, float] = {}
    for sample in samples(text, table.link_counters):
        for link in table.links(sample, pod, namespace):
            counted[link] = counted.get(link, 0.0) + sample.value
    return counted
