"""The names and labels of a mesh's proxy metrics, and the links between callers and servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from meshkit.facts import Object

UNKNOWN = "unknown"
"""The name of a caller without an identity."""
How = Literal["mutual_tls", "plain", "refused", "failed"]
"""The outcome of calls: over mutual TLS, in plain text, or refused without an identity. ``failed`` is counted
by callers: no answer, or a gateway error."""


class Sample(NamedTuple):
    """One sample line of a metrics page."""

    name: str
    labels: dict[str, str]
    value: float


class Link(NamedTuple):
    """A caller's account and a server, as ``namespace/name``; ``unknown`` is a caller without identity."""

    client: str
    server: str
    how: How


Outcome = Literal["passed", "forbidden", "denied", "would_be_denied"]
"""What became of calls at a server: passed, answered with 403 by the proxy or the application, denied by an
access rule, or passed and denied if the rules on trial were enforced."""


class ServerCall(NamedTuple):
    """Calls as a server's proxy counts them."""

    caller: str
    """The account as ``namespace/name``, ``unknown`` without an identity.

    Empty for the decisions of access rules where these do not tell it: such calls are counted again by
    caller.
    """
    server: str
    """The workload as ``namespace/name``."""
    service: str
    """The Service that was called; empty where it is not told."""
    port: int
    """The container port; 0 where it is not told."""
    outcome: Outcome


@dataclass(frozen=True)
class ServerCounters:
    """The counters of calls that a server's proxy publishes."""

    names: re.Pattern[str]
    calls: Callable[[Sample, Object], Iterator[ServerCall]]
    """The calls that a sample of a pod's sidecar counts."""
    source: str
    """The counters, for people, and what they do not tell."""
    names_denied: bool
    """Whether denied and would-be denied calls have a caller; else they are counted by port only."""


class PeerLabels(NamedTuple):
    """The labels of the server in a caller's series."""

    workload: str
    namespace: str
    asked_for: str
    """The label with the service name, for requests that reached no workload."""
    protocol: str
    """The label with the protocol; empty for a mesh that does not report it."""


class Unreached(NamedTuple):
    """The counters of failed requests for which a caller's proxy chose no pod.

    A series counts if all labels of one of ``any_of`` fully match their patterns, which may contain {service}
    and {namespace}. ``version_label`` has the Service of the version that was meant; empty: it is not told.
    """

    counters: tuple[str, ...] = ()
    any_of: tuple[Mapping[str, str], ...] = ()
    version_label: str = ""
    injected: tuple[Mapping[str, str], ...] = ()
    """Like ``any_of``, for the errors that a caller's proxy was told to inject. No version is at fault for
    them, so a release does not count them."""


@dataclass(frozen=True)
class MetricTable:
    """The metrics of a mesh's proxies. Values may contain {service}, {namespace} and {version}.

    A request belongs to the target if every label of ``where`` has its value and every label of
    ``where_present`` is absent or has its value. It failed if a label of ``failed`` fully matches its
    pattern.

    ``pod_label`` has the pod that answered. For a mesh without it, the page of that pod has the counts, in
    the series that differ from ``where`` by ``pod_where`` (the server side).
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
    server_calls: ServerCounters | None = None
    """The calls that servers count; None for a mesh whose servers count none."""
    service_label: str = ""
    """The label with the Service that a request was sent to; versions that are Services are told by it."""
    buckets: Callable[[Sequence[float]], str] | None = None
    """A sentence that says how callers' proxies are given these bucket edges in ms; None: they are fixed."""
    bucket_annotations: Callable[[Sequence[float]], Mapping[str, str]] | None = None
    """The annotations of a pod template that give its proxy these edges in ms; None: they are fixed."""
    pod_label: str = ""
    filtered: Callable[[Sequence[str]], tuple[int, str]] | None = None
    """The port and path of a page with the counters of these names only; None: proxies write whole pages."""
    refusal_setting: str = ""
    """The setting without which proxies do not expose refused connections; empty if they always do."""
    may_refuse: Callable[[Object], bool] = lambda pod: True
    """Whether the proxy in a pod receives the calls to the pod, so that it can refuse them."""
    pod_where: Mapping[str, str] = field(default_factory=dict)
    unreached: Unreached = field(default_factory=Unreached)
    """The requests that no series of a version counts, because no pod was chosen for them."""
