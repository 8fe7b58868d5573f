"""What a proxy must do, in no mesh's words:

translators produce it, ``render`` turns it into Envoy's resources.

Everything is frozen and compares by value, so "has this pod's configuration changed" is ``==`` and costs no
rendering. Durations are seconds, shares are percent, ``None`` means that the mesh leaves it to the proxy's
own default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

MatchKind = Literal["exact", "prefix", "suffix", "segments", "regex", "present"]


@dataclass(frozen=True)
class StringMatch:
    """One condition on a path, header or query parameter. ``segments`` is a prefix by whole path segments."""

    kind: MatchKind
    value: str = ""
    ignore_case: bool = False


@dataclass(frozen=True)
class NamedMatch:
    """A condition on the header or query parameter ``name``; ``invert`` wants it not to hold."""

    name: str
    match: StringMatch
    invert: bool = False


@dataclass(frozen=True)
class Match:
    """Conditions that must all hold. An empty match holds for every request."""

    path: StringMatch | None = None
    method: StringMatch | None = None
    headers: tuple[NamedMatch, ...] = ()
    query: tuple[NamedMatch, ...] = ()


@dataclass(frozen=True)
class Backend:
    """A share of a route.

    ``cluster`` None means that the destination is invalid: the share is answered with 500.
    """

    cluster: str | None
    weight: int


@dataclass(frozen=True)
class Fault:
    """Delays and aborts made by the caller's proxy."""

    delay_s: float = 0.0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0


@dataclass(frozen=True)
class Retry:
    """At most ``attempts`` more tries. ``retry_on`` has Envoy's names, ``statuses`` are retried besides."""

    attempts: int
    retry_on: tuple[str, ...]
    statuses: tuple[int, ...] = ()
    per_try_timeout_s: float | None = None
    backoff_s: float = 0.025
    avoid_previous_hosts: bool = True


@dataclass(frozen=True)
class HeaderEdits:
    """Header changes; ``set`` overwrites, ``add`` appends."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class HashKey:
    """What a consistent-hash load balancer hashes: a header, a query parameter, or the caller's address."""

    source: Literal["header", "query", "address"]
    name: str = ""


@dataclass(frozen=True)
class Route:
    """Requests that meet any of ``matches`` go to ``backends``. ``owner`` is its object's namespace/name."""

    name: str
    matches: tuple[Match, ...]
    backends: tuple[Backend, ...]
    timeout_s: float | None = None
    retry: Retry | None = None
    fault: Fault | None = None
    request_headers: HeaderEdits = HeaderEdits()
    response_headers: HeaderEdits = HeaderEdits()
    hash_keys: tuple[HashKey, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class VirtualHost:
    """The routes of one Service port: ``service`` is its full host name, ``domains`` what callers use."""

    service: str
    port: int
    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Endpoint:
    """A pod's address. ``meshed`` says that a sidecar answers there and takes mutual TLS."""

    address: str
    port: int
    meshed: bool


@dataclass(frozen=True)
class Limits:
    """Connection limits of one calling proxy; None is unlimited."""

    max_connections: int | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_retries: int | None = None
    max_requests_per_connection: int | None = None
    connect_timeout_s: float = 10.0


@dataclass(frozen=True)
class Outlier:
    """Ejection of failing endpoints. ``consecutive_*`` None switches that detector off."""

    consecutive_5xx: int | None = 5
    consecutive_gateway: int | None = None
    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_s: float | None = None
    max_ejection_percent: int = 10
    min_health_percent: int = 0


LoadBalancer = Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "RING_HASH"]


@dataclass(frozen=True)
class Cluster:
    """A named set of endpoints. ``tls``: auto = mutual TLS to meshed endpoints only; always; never.

    ``identities`` are the only server names accepted over TLS; empty accepts every name of the mesh's CA.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    identities: tuple[str, ...] = ()
    tls: Literal["auto", "always", "never"] = "auto"
    load_balancer: LoadBalancer = "LEAST_REQUEST"
    limits: Limits = Limits()
    outlier: Outlier | None = None


@dataclass(frozen=True)
class Problem:
    """What a mesh ignores in an object, told to its author as an Event of this ``reason``."""

    object: Object
    reason: str
    message: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Identifies the problem: said once for each generation of the object."""
        meta = self.object["metadata"]
        return (str(meta.get("uid", "")), str(meta.get("generation", "")), self.message)


@dataclass(frozen=True)
class Outbound:
    """All that callers of one namespace share."""

    hosts: tuple[VirtualHost, ...]
    clusters: tuple[Cluster, ...]
    problems: tuple[Problem, ...] = ()


def cluster_name(port: int, subset: str, host: str) -> str:
    """The name of an outbound cluster, in Istio's form (``outbound|8080|v1|web.shop.svc.cluster.local``)."""
    return f"outbound|{port}|{subset}|{host}"
