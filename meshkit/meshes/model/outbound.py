"""The mesh-independent model of outbound traffic, which is rendered to Envoy's resources.

All types are frozen and compare by value, so ``==`` detects a changed configuration without rendering.
Durations are in seconds, shares in percent; ``None`` means the proxy's own default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

OUTBOUND_PORT = 15001
"""The port on which a proxy receives the requests of its application, as in Istio."""

PortProtocol = Literal["http", "tcp"]
"""How a proxy reads the connections of a port: request by request, or as bytes."""

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

    ``invert`` negates it; a missing header then counts as an empty one.
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
    """Header changes: ``set`` overwrites, ``add`` appends, ``authority`` replaces the requested host.

    Values that are ``literal`` are sent as they stand. In others ``%`` begins a variable of Envoy, and two
    of them are one.
    """

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    authority: str = ""
    literal: bool = False


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
    """At most ``attempts`` retries. ``retry_on`` has Envoy's names; ``statuses`` are retried in addition.

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
    """The input of a consistent hash: a header, query parameter, cookie or the caller's address.

    A cookie with a lifetime is set, with ``attributes``, if the request has none.
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
    """A share of the requests is mirrored to ``cluster``; the responses are discarded."""

    cluster: str
    percent: float = 100.0


@dataclass(frozen=True)
class Redirect:
    """A redirect response. Empty fields keep the requested value; ``prefix`` replaces the matched prefix."""

    status: int = 301
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class DirectResponse:
    """A response by the proxy itself. ``encoded`` is a base64 body, for a body that is not text."""

    status: int
    body: str = ""
    encoded: str = ""


@dataclass(frozen=True)
class Cors:
    """The CORS policy. ``max_age_s`` is how long browsers may cache it."""

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

    With a ``redirect`` or a ``direct`` answer there are no backends. ``source`` is the object and its rule as
    people name them: ``VirtualService shop/web http[0]``.
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
    source: str = ""

    @property
    def ruler(self) -> str:
        """The object it stands in, with its kind: ``VirtualService shop/web``; empty if it is in none."""
        return " ".join(self.source.split(" ")[:2])


@dataclass(frozen=True)
class VirtualHost:
    """The routes of one Service port: ``service`` is its full host name, ``domains`` what callers use.

    With the ``protocol`` tcp there is one route, which has only backends: it takes whole connections.
    """

    service: str
    port: int
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    protocol: PortProtocol = "http"


@dataclass(frozen=True)
class Locality:
    """A region, zone and subzone; empty names are unknown."""

    region: str = ""
    zone: str = ""
    subzone: str = ""


@dataclass(frozen=True)
class Endpoint:
    """The address of a pod. ``meshed`` means that a sidecar with mutual TLS listens there.

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
    """``consecutive_local_origin`` counts failures to connect separately."""
    consecutive_local_origin: int | None = None


LoadBalancer = Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "RING_HASH", "MAGLEV"]


@dataclass(frozen=True)
class Balancing:
    """How a cluster chooses an endpoint. ``table_size``: the ring's least size or Maglev's table.

    A new endpoint gets its full share after ``warmup_s``, starting with ``warmup_percent``.
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
    """TLS to a server outside the mesh, with files of the proxy and without a certificate of the mesh.

    Empty ``roots`` trust the system's. Empty ``server_names`` accept every name that ``roots`` have signed.
    """

    sni: str = ""
    roots: str = ""
    certificate: str = ""
    key: str = ""
    server_names: tuple[str, ...] = ()
    verify: bool = True


@dataclass(frozen=True)
class Cluster:
    """A named set of endpoints with its connection settings.

    ``tls`` is auto (mutual TLS to meshed endpoints only), always, never, or the TLS of a server outside the
    mesh. ``identities`` are the accepted server names over the mesh's TLS; empty accepts every name of its
    CA. ``protocol`` is http2, or the protocol of the caller. ``as_asked`` sends a request to the loopback
    address that it names. ``source`` is the object that defines the subset or the settings.
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
    source: str = ""


@dataclass(frozen=True)
class Problem:
    """A part of an object that the mesh ignores, reported as an Event with this ``reason``."""

    object: Object
    reason: str
    message: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The identity of the problem, which is reported once for each generation of the object."""
        meta = self.object["metadata"]
        named = f"{self.object.get('kind')}/{meta.get('namespace')}/{meta['name']}"
        return (str(meta.get("uid") or named), str(meta.get("generation", "")), self.message)


def once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, however many ports, subsets and callers it was met at."""
    return tuple({problem.key: problem for problem in problems}.values())


@dataclass(frozen=True)
class Outbound:
    """The outbound configuration that equal callers share."""

    hosts: tuple[VirtualHost, ...]
    clusters: tuple[Cluster, ...]
    problems: tuple[Problem, ...] = ()


def cluster_name(port: int, subset: str, host: str) -> str:
    """The name of an outbound cluster, in Istio's form (``outbound|8080|v1|web.shop.svc.cluster.local``)."""
    return f"outbound|{port}|{subset}|{host}"
