"""The service graph: request rates, success and latencies between workloads, from the sidecars' metrics.

The caller's sidecar counts requests, including those that never reached a server. Only the server's sidecar
knows for certain how a request was authenticated (``callers``). Plaintext requests that exceed the number
sent by meshed callers come from callers without a sidecar. No mesh can name these, so the graph has one
unnamed caller for all of them.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from meshkit.facts import ArmCounts, Object
from meshkit.kube.pods import workload
from meshkit.meshes import registry
from meshkit.meshes.metrics import Link, MetricTable, PeerLabels
from meshkit.observe.callers import links_in
from meshkit.observe.exposition import samples
from meshkit.observe.pages import PageReading, read_pages
from meshkit.observe.rises import rises

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

Security = Literal["mTLS", "plaintext", "unknown"]


@dataclass(frozen=True)
class Edge:
    """The requests in the window from one workload (``namespace/name``) to another.

    ``source`` is empty for callers without a sidecar; ``refused`` counts calls that were refused because they
    had no identity.
    """

    source: str
    destination: str
    security: Security
    protocol: str
    counts: ArmCounts
    refused: int = 0

    @property
    def success_percent(self) -> float | None:
        """Successful requests in percent; None without requests, or if only the caller knows."""
        share = self.counts.error_share if self.source else None
        return None if share is None else 100 * (1 - share)


@dataclass(frozen=True)
class ServiceGraph:
    """The edges within ``seconds``, busiest first.

    ``unread`` is the number of sidecars that did not answer at the beginning or the end, and whose calls are
    therefore missing.
    """

    seconds: float
    edges: tuple[Edge, ...]
    unread: int = 0

    def as_json(self) -> dict[str, object]:
        """The graph as JSON: requests per second, success in percent, latencies in ms; None without data."""
        return {
            "seconds": round(self.seconds, 3),
            "unread_sidecars": self.unread,
            "edges": [self._edge(edge) for edge in self.edges],
        }

    def _edge(self, edge: Edge) -> dict[str, object]:
        counts, success = edge.counts, edge.success_percent
        return {
            "source": edge.source or None,
            "source_has_sidecar": bool(edge.source),
            "destination": edge.destination,
            "security": edge.security,
            "protocol": edge.protocol,
            "requests_per_s": round(counts.requests / self.seconds, 2),
            "refused_per_s": round(edge.refused / self.seconds, 2),
            "success_percent": None if success is None else round(success, 2),
            "p50_ms": counts.quantile_ms(0.5),
            "p99_ms": counts.quantile_ms(0.99),
        }


class _Sent(NamedTuple):
    """One counter of a caller's sidecar; ``edge_ms`` is None for the counter of requests."""

    source: str
    destination: str
    encrypted: bool
    protocol: str
    failed: bool
    edge_ms: float | None
    series: str


Counted = _Sent | Link


def service_graph(cluster: Cluster, *, window_s: float = 2.0) -> ServiceGraph:
    """Read every sidecar of any mesh twice, ``window_s`` apart, and return the calls in between.

    Needs list on pods and get on pods/proxy. A cluster without sidecars gives a graph without edges.
    """
    began_s, before = time.monotonic(), _read(cluster)
    time.sleep(window_s if before.asked else 0.0)
    seconds, after = time.monotonic() - began_s, _read(cluster)
    risen: Counter[Counted] = Counter()
    for key, rise in rises(before.pages, after.pages, _series):
        risen[key] += rise
    unread = sum(page is None or before.pages.get(each, page) is None for each, page in after.pages.items())
    return ServiceGraph(seconds, edges_of(risen), unread)


def _read(cluster: Cluster) -> PageReading[Mapping[Counted, float]]:
    tables = (row.metrics for row in registry.MESHES.values())
    return read_pages(cluster, tables, _page)


def _series(key: Counted) -> Counted:
    """The key of counters that reset together: a histogram's buckets and the counter of its requests."""
    return key._replace(edge_ms=None) if isinstance(key, _Sent) else key


def read_graph_page(text: str, mesh: str, pod: Object) -> dict[Counted, float]:
    """The counters in a sidecar's metrics page: requests sent, and requests received by authentication."""
    return _page(text, registry.mesh(mesh).metrics, pod)


def _page(text: str, table: MetricTable, pod: Object) -> dict[Counted, float]:
    page: dict[Counted, float] = {}
    for key, value in _sent(text, table, workload(pod)):
        page[key] = page.get(key, 0.0) + value
    for link, counted in links_in(text, table, pod, pod["metadata"]["namespace"]).items():
        page[link] = counted
    return page


def _sent(text: str, table: MetricTable, me: str) -> Iterator[tuple[_Sent, float]]:
    side, value_of_side = table.outbound
    for name, found, value in samples(text, (table.requests, f"{table.latency}_bucket")):
        if found.get(side) != value_of_side:
            continue
        edge = found.pop("le", None)
        failed = any(re.fullmatch(pattern, found.get(label, "")) for label, pattern in table.failed.items())
        yield (
            _Sent(
                me,
                _destination(found, table.peer),
                found.get("tls") == "true",
                found.get(table.peer.protocol, "http"),
                failed,
                None if name == table.requests else float(edge) if edge else math.inf,
                ",".join(f"{label}={found[label]}" for label in sorted(found)),
            ),
            value,
        )


def _destination(series: Mapping[str, str], labels: PeerLabels) -> str:
    name = series.get(labels.workload, "")
    if name and name != "unknown":
        return f"{series.get(labels.namespace, '')}/{name}"
    service, _, rest = series.get(labels.asked_for, "").partition(":")[0].partition(".")
    return f"{rest.partition('.')[0] or '?'}/{service or '?'} (no endpoint)"


def edges_of(risen: Mapping[Counted, int]) -> tuple[Edge, ...]:
    """Compute the edges from the increase of counters, busiest first."""
    links = {key: n for key, n in risen.items() if isinstance(key, Link) and n}
    sent: dict[tuple[str, str, str], dict[_Sent, int]] = {}
    for key, n in risen.items():
        if isinstance(key, _Sent) and n:
            sent.setdefault((key.source, key.destination, key.protocol), {})[key] = n
    found = [_edge(*where, counters, links) for where, counters in sent.items()]
    return tuple(sorted([*found, *_unmeshed(found, links)], key=_busiest))


def _busiest(edge: Edge) -> tuple[int, str, str]:
    return -edge.counts.requests - edge.refused, edge.source, edge.destination


def _edge(
    source: str, destination: str, protocol: str, counters: Mapping[_Sent, int], links: Mapping[Link, int]
) -> Edge:
    latency: Counter[float] = Counter()
    requests = failed = 0
    for key, n in counters.items():
        if key.edge_ms is not None:
            latency[key.edge_ms] += 0 if key.failed else n
        else:
            requests += n
            failed += n if key.failed else 0
    counts = ArmCounts(requests, failed, tuple(sorted(latency.items())))
    seen = {link.how for link in links if link.server == destination}
    known = Link(source, destination, "mutual_tls") in links or any(key.encrypted for key in counters)
    security: Security = "mTLS" if known or seen == {"mutual_tls"} else "plaintext" if seen else "unknown"
    return Edge(source, destination, security, protocol, counts)


def _unmeshed(edges: list[Edge], links: Mapping[Link, int]) -> Iterator[Edge]:
    """The edges of callers without a sidecar: plaintext requests no meshed caller sent, and refused calls."""
    for server in sorted({link.server for link in links}):
        plain, refused = (
            sum(n for link, n in links.items() if link.server == server and link.how == how)
            for how in ("plain", "refused")
        )
        plain -= sum(
            e.counts.requests for e in edges if e.destination == server and e.security == "plaintext"
        )
        if plain > 0 or refused:
            yield Edge("", server, "plaintext", "http", ArmCounts(max(0, plain)), refused)
