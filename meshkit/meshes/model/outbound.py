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

OUTBOUND_PORT = 15001
"""Where a proxy takes the requests of its own application, as in Istio."""

MatchKind = Literal["exact", "prefix", "suffix", "segments", "regex", "present"]


@dataclass(frozen=True)
class StringMatch:
    """One condition on a path, header or query parameter. ``segments`` is a prefix by whole path segments."""

    kind: MatchKind
    value: str = ""
    ignore_case: bool = False


@dataclass(frozen=True)
class NamedMatch:
    """A condition on the header or query parameter ``name``.

    ``invert`` wants it not to hold; a header that is not there then counts as an empty one.
    """

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
class HeaderEdits:
    """Header changes; ``set`` overwrites, ``add`` appends. ``authority`` replaces the host asked for."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    authority: str = ""


@dataclass(frozen=True)
class Backend:
    """A share of a route.

    ``cluster`` None means that the destination is invalid: the share is answered with 500.
    """

    cluster: str | None
    weight: int
    request_headers: HeaderEdits = HeaderEdits()
    response_headers: HeaderEdits = HeaderEdits()


@dataclass(frozen=True)
class Fault:
    """Delays and aborts made by the caller's proxy. An abort has an HTTP or a gRPC status."""

    delay_s: float = 0.0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0
    abort_grpc_status: int | None = None


@dataclass(frozen=True)
class Retry:
    """At most ``attempts`` more tries. ``retry_on`` has Envoy's names, ``statuses`` are retried besides.

    ``other_localities`` lets a retry leave the locality that was tried.
    """

    attempts: int
    retry_on: tuple[str, ...]
    statuses: tuple[int, ...] = ()
    per_try_timeout_s: float | None = None
    backoff_s: float = 0.025
    avoid_previous_hosts: bool = True
    other_localities: bool = False


@dataclass(frozen=True)
class HashKey:
    """What a consistent hash is made of: a header, query parameter, cookie, or the caller's address.

    A cookie with a lifetime is made where the request has none; ``attributes`` are written with it.
    """

    source: Literal["header", "query", "cookie", "address"]
    name: str = ""
    path: str = ""
    ttl_s: float | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Rewrite:
    """The request as the backend sees it: another path prefix, or ``regex`` (pattern, substitution)."""

    prefix: str = ""
    regex: tuple[str, str] | None = None


@dataclass(frozen=True)
class Mirror:
    """A copy of a share of the requests goes to ``cluster``; its answer is thrown away."""

    cluster: str
    percent: float = 100.0


@dataclass(frozen=True)
class Redirect:
    """The caller is sent elsewhere. Empty fields keep what was asked for; ``prefix`` replaces the match."""

    status: int = 301
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class DirectResponse:
    """The proxy answers by itself. ``encoded`` is the body in base64, where it is not text."""

    status: int
    body: str = ""
    encoded: str = ""


@dataclass(frozen=True)
class Cors:
    """Which browsers' origins may call. ``max_age_s`` is how long they may remember it."""

    origins: tuple[StringMatch, ...] = ()
    methods: tuple[str, ...] = ()
    allowed_headers: tuple[str, ...] = ()
    exposed_headers: tuple[str, ...] = ()
    max_age_s: int | None = None
    credentials: bool | None = None
    forward_unmatched_preflights: bool = True


@dataclass(frozen=True)
class Route:
    """Requests that meet any of ``matches`` go to ``backends``. ``owner`` is its object's namespace/name.

    With a ``redirect`` or a ``direct`` answer there are no backends.
    """

    name: str
    matches: tuple[Match, ...]
    backends: tuple[Backend, ...] = ()
    redirect: Redirect | None = None
    direct: DirectResponse | None = None
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
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
class Locality:
    """Where something runs. Empty names are unknown."""

    region: str = ""
    zone: str = ""
    subzone: str = ""


@dataclass(frozen=True)
class Endpoint:
    """A pod's address. ``meshed`` says that a sidecar answers there and takes mutual TLS.

    Endpoints of a higher ``priority`` number get requests only when those before them fail.
    """

    address: str
    port: int
    meshed: bool
    locality: Locality = Locality()
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True)
class Limits:
    """Connection limits of one calling proxy; None is unlimited.

    ``retry_budget`` replaces ``max_retries`` by a share of the running requests, in percent, and a minimum.
    """

    max_connections: int | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_retries: int | None = None
    max_requests_per_connection: int | None = None
    max_concurrent_streams: int | None = None
    max_connection_duration_s: float | None = None
    idle_timeout_s: float | None = None
    connect_timeout_s: float = 10.0
    keepalive: Keepalive | None = None
    http2_ping: tuple[float, float] | None = None
    """Interval and timeout of HTTP/2 pings, in seconds."""
    retry_budget: tuple[float, int] | None = None


@dataclass(frozen=True)
class Keepalive:
    """TCP keep-alive; None leaves a value to the system."""

    probes: int | None = None
    time_s: int | None = None
    interval_s: int | None = None


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
    split_local_origin: bool = False
    """Failures to connect are counted apart, by ``consecutive_local_origin``."""
    consecutive_local_origin: int | None = None


LoadBalancer = Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "RING_HASH", "MAGLEV"]


@dataclass(frozen=True)
class Balancing:
    """How a cluster chooses an endpoint. ``table_size``: the ring's least size or Maglev's table.

    A new endpoint gets its full share only ``warmup_s`` after it came, beginning with ``warmup_percent``.
    ``locality_weights`` shares requests among localities instead of by the number of endpoints.
    """

    policy: LoadBalancer = "LEAST_REQUEST"
    table_size: int | None = None
    warmup_s: float | None = None
    warmup_percent: float = 10.0
    warmup_aggression: float = 1.0
    locality_weights: tuple[tuple[Locality, int], ...] = ()


@dataclass(frozen=True)
class OriginTLS:
    """TLS to a server outside the mesh: files as the proxy finds them; no certificate of the mesh is shown.

    ``roots`` empty trusts the system's. ``server_names`` empty accepts every name ``roots`` vouch for.
    """

    sni: str = ""
    roots: str = ""
    certificate: str = ""
    key: str = ""
    server_names: tuple[str, ...] = ()
    verify: bool = True


@dataclass(frozen=True)
class Cluster:
    """A named set of endpoints. ``tls``: auto = mutual TLS to meshed endpoints only; always; never;

    or the TLS of a server outside the mesh. ``identities`` are the only server names accepted over the mesh's
    TLS; empty accepts every name of its CA. ``protocol``: http2 always, or whatever the caller speaks.
    ``as_asked`` goes to the address that the request names, wherever that is on loopback.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    identities: tuple[str, ...] = ()
    tls: Literal["auto", "always", "never"] | OriginTLS = "auto"
    balancing: Balancing = Balancing()
    protocol: Literal["http1", "http2", "client"] = "http1"
    limits: Limits = Limits()
    outlier: Outlier | None = None
    as_asked: bool = False


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
    """All that like callers share."""

    hosts: tuple[VirtualHost, ...]
    clusters: tuple[Cluster, ...]
    problems: tuple[Problem, ...] = ()


def cluster_name(port: int, subset: str, host: str) -> str:
    """The name of an outbound cluster, in Istio's form (``outbound|8080|v1|web.shop.svc.cluster.local``)."""
    return f"outbound|{port}|{subset}|{host}"
