"""How a mesh's proxies name their counters, and what each counter tells of who called whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from meshkit.facts import Object

UNKNOWN = "unknown"
"""A caller that proved no identity."""
How = Literal["mutual_tls", "plain", "refused", "failed"]
"""Answered over mutual TLS, answered in plain text, refused for want of an identity; ``failed`` is the
callers' view of their own requests: no answer, or a gateway's error."""


class Sample(NamedTuple):
    """One sample line of a metrics page."""

    name: str
    labels: dict[str, str]
    value: float


class Link(NamedTuple):
    """A caller's account and a server, as ``namespace/name``; an ``unknown`` caller proved nothing."""

    client: str
    server: str
    how: How


class PeerLabels(NamedTuple):
    """The labels by which a caller's series name the server."""

    workload: str
    namespace: str
    asked_for: str
    """The service by name, for requests that reached no workload."""
    protocol: str
    """The protocol of the requests; empty for a mesh that tells none."""


@dataclass(frozen=True)
class MetricTable:
    """How one mesh's proxies tell their counters. Values may hold {service}, {namespace} and {version}.

    A request belongs to the target when every label of ``where`` has its value and those of
    ``where_present`` are absent or have it; it failed when a label of ``failed`` matches its pattern in
    full.

    The pod that answered is named by ``pod_label``; where a mesh has none, the pod's own page tells, in the
    series that differ from ``where`` by ``pod_where`` (the servers' side).
    """

    sidecar: str
    port: int
    path: str
    requests: str
    latency: str
    where: Mapping[str, str]
    where_present: Mapping[str, str]
    version_label: str
    version_value: str
    failed: Mapping[str, str]
    outbound: tuple[str, str]
    """The label, with its value, of the series that a caller's own proxy counts."""
    peer: PeerLabels
    link_counters: tuple[str, ...]
    """The counters that ``links`` reads."""
    links: Callable[[Sample, Object, str | None], Iterator[Link]]
    """The links that a sample of a pod's sidecar counts, for servers of a namespace (None: of any)."""
    pod_label: str = ""
    pod_where: Mapping[str, str] = field(default_factory=dict)
