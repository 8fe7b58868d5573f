"""Who calls whom, and how it is proven: read on the servers' side, where plain text arrives.

A caller without a sidecar has no metrics of its own and no name in anybody else's: Istio calls it
``unknown``, Linkerd gives no ``client_id``. So a plaintext link has a server, a count and a rate; its caller
is one of the pods without a sidecar. What a server refuses is counted apart: by Istio as connections closed
without an identity, by Linkerd as denials, answered with 403.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from meshkit.errors import ClusterError, NoData
from meshkit.facts import Kind, Object
from meshkit.observe.exposition import Sample, samples
from meshkit.observe.scrape import PAGE_TIMEOUT_S, sidecar_status

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

UNKNOWN = "unknown"
_AT_ONCE = 8
How = Literal["mutual_tls", "plain", "refused", "failed"]
"""Answered over mutual TLS, answered in plain text, refused for want of an identity; ``failed`` is the
callers' view of their own requests: no answer, or a gateway's error."""


class Link(NamedTuple):
    """A caller's account and a server, as ``namespace/name``; an ``unknown`` caller proved nothing."""

    client: str
    server: str
    how: How


@dataclass(frozen=True)
class Reading:
    """Every proxy's counters at one time; None where a page could not be read. ``started_s`` is the oldest
    sidecar's start.
    """

    taken_s: float
    started_s: float
    pages: Mapping[str, Mapping[Link, float] | None]


@dataclass(frozen=True)
class Calls:
    """What was counted in a window, and since the sidecars started."""

    window_s: float
    seen_s: float
    """How far back the oldest sidecar remembers."""
    asked: int
    answered: int
    in_window: Mapping[Link, int]
    in_all: Mapping[Link, int]

    def count(self, *how: How) -> int:
        """Requests (or connections) of these kinds in the window."""
        return sum(n for link, n in self.in_window.items() if link.how in how)

    def links(self, *how: How) -> list[tuple[Link, int, int]]:
        """(link, in the window, in all), the busiest first."""
        found = [(link, self.in_window.get(link, 0), n) for link, n in self.in_all.items() if link.how in how]
        return sorted(found, key=lambda row: (-row[1], -row[2], row[0]))


def read_callers(cluster: Cluster, mesh: str, namespace: str | None = None) -> Reading:
    """The counters of all sidecars now, as far as they concern servers in the namespace (None: any).

    Needs list on pods and get on pods/proxy. Raises NoData when no pod has a sidecar of this mesh.
    """
    page = _PAGES[mesh]
    statuses = [(pod, sidecar_status(pod, page.sidecar)) for pod in cluster.api.list(Kind("v1", "Pod"))]
    pods = [(pod, status) for pod, status in statuses if status]
    if not pods:
        raise NoData(
            f"No running pod has the sidecar {page.sidecar}, so nobody has counted who calls whom.",
            remedy="Bring the sidecars in first: plain text is seen by the servers' proxies.",
        )
    names = [f"{pod['metadata']['uid']}/{status.get('restartCount', 0)}" for pod, status in pods]
    with ThreadPoolExecutor(min(_AT_ONCE, len(pods))) as pool:
        texts = list(pool.map(lambda one: _fetch(cluster, one[0], page), pods))
    pages = {
        name: None if text is None else count_links(text, mesh, pod, namespace)
        for name, text, (pod, _) in zip(names, texts, pods, strict=True)
    }
    starts = [_started_s(status) for _, status in pods]
    return Reading(time.time(), min(starts), pages)


def between(before: Reading, after: Reading) -> Calls:
    """What happened between two readings. A new proxy, or one that counts less now, counts from zero."""
    window: dict[Link, int] = {}
    whole: dict[Link, int] = {}
    for proxy, page in after.pages.items():
        old = before.pages.get(proxy, {})
        for link, value in (page or {}).items():
            whole[link] = whole.get(link, 0) + round(value)
            if old is not None:
                was = old.get(link, 0.0)
                window[link] = window.get(link, 0) + round(value - was if value >= was else value)
    return Calls(
        window_s=after.taken_s - before.taken_s,
        seen_s=after.taken_s - after.started_s,
        asked=len(after.pages),
        answered=sum(page is not None for page in after.pages.values()),
        in_window={link: n for link, n in window.items() if n},
        in_all=whole,
    )


def count_links(text: str, mesh: str, pod: Object, namespace: str | None) -> dict[Link, float]:
    """The links that a metrics page of a pod's sidecar tells of, for servers in the namespace (None: any)."""
    counted: dict[Link, float] = {}
    page = _PAGES[mesh]
    links = _istio if mesh == "istio" else _linkerd
    for sample in samples(text, page.metrics):
        for link in links(sample, pod, namespace):
            counted[link] = counted.get(link, 0.0) + sample.value
    return counted


class _Page(NamedTuple):
    """Where a mesh's sidecar tells its counters, and which of them are read here."""

    sidecar: str
    port: int
    path: str
    metrics: tuple[str, ...]


_DENIED = ("inbound_http_authz_deny_total", "inbound_tcp_authz_deny_total")
_PAGES = {
    "istio": _Page(
        "istio-proxy",
        15020,
        "/stats/prometheus",
        ("istio_requests_total", "istio_tcp_connections_closed_total"),
    ),
    "linkerd": _Page("linkerd-proxy", 4191, "/metrics", ("response_total", *_DENIED)),
}


def _istio(sample: Sample, pod: Object, namespace: str | None) -> Iterator[Link]:
    labels = sample.labels
    if labels.get("reporter") == "source":
        of_server = labels.get("destination_service_namespace", UNKNOWN)
        if labels.get("response_code") in ("0", "503") and namespace in (None, of_server):
            yield Link(workload(pod), f"{of_server}/{labels.get('destination_service_name')}", "failed")
        return
    if namespace not in (None, pod["metadata"]["namespace"]):
        return
    secured = labels.get("connection_security_policy") == "mutual_tls"
    client = _istio_client(labels) if secured else UNKNOWN
    if sample.name == "istio_requests_total":
        yield Link(client, workload(pod), "mutual_tls" if secured else "plain")
    elif not secured and labels.get("response_flags", "-") not in ("-", ""):
        yield Link(client, workload(pod), "refused")


def _istio_client(labels: Mapping[str, str]) -> str:
    """The account that the caller proved (``spiffe://.../ns/shop/sa/client``), else its workload."""
    proven = re.search(r"/ns/([^/]+)/sa/([^/]+)", labels.get("source_principal", ""))
    if proven:
        return f"{proven[1]}/{proven[2]}"
    name, namespace = labels.get("source_workload", UNKNOWN), labels.get("source_workload_namespace", "")
    return f"{namespace}/{name}" if name != UNKNOWN else UNKNOWN


def _linkerd(sample: Sample, pod: Object, namespace: str | None) -> Iterator[Link]:
    labels = sample.labels
    if labels.get("direction") == "outbound":
        lost = labels.get("classification") == "failure" and labels.get("status_code", "502") in (
            "502",
            "503",
        )
        of_server = labels.get("dst_namespace") or namespace or pod["metadata"]["namespace"]
        if lost and namespace in (None, of_server):
            server = labels.get("dst_deployment") or labels.get("dst_service") or UNKNOWN
            yield Link(workload(pod), f"{of_server}/{server}", "failed")
        return
    if namespace not in (None, pod["metadata"]["namespace"]) or labels.get("route_name") == "probe":
        return
    secured = labels.get("tls") == "true"
    client = _linkerd_client(labels.get("client_id", "")) if secured else UNKNOWN
    if sample.name in _DENIED or labels.get("status_code") == "403":
        if not secured:
            yield Link(client, workload(pod), "refused")
    else:
        yield Link(client, workload(pod), "mutual_tls" if secured else "plain")


def _linkerd_client(identity: str) -> str:
    """``client.shop.serviceaccount.identity.linkerd.cluster.local`` -> ``shop/client``."""
    account, _, rest = identity.partition(".")
    namespace = rest.partition(".")[0]
    return f"{namespace}/{account}" if namespace else UNKNOWN


def workload(pod: Object) -> str:
    """The workload a pod belongs to, from the ReplicaSet that owns it or its own name."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences") or ():
        name = str(owner["name"])
        return f"{meta['namespace']}/{name.rpartition('-')[0] if owner['kind'] == 'ReplicaSet' else name}"
    return f"{meta['namespace']}/{meta['name']}"


def _fetch(cluster: Cluster, pod: Object, page: _Page) -> str | None:
    meta = pod["metadata"]
    try:
        return cluster.api.pod_get(
            meta["namespace"], meta["name"], page.port, page.path, timeout_s=PAGE_TIMEOUT_S
        )
    except ClusterError:
        return None


def _started_s(status: Mapping[str, object]) -> float:
    """When a sidecar began to run, in seconds since the epoch."""
    state = status.get("state")
    running = state.get("running") if isinstance(state, Mapping) else None
    started = running.get("startedAt") if isinstance(running, Mapping) else None
    return datetime.fromisoformat(str(started)).timestamp() if started else time.time()
