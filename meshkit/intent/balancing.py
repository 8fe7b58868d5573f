"""How clients' proxies spread requests over the pods of a Service, and when they stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from meshkit.intent.base import At, Part
from meshkit.intent.rules import HeaderName, Percent, Seconds

Locality = Annotated[str, Field(pattern=r"^[^/\s]+(/[^/\s]+){0,2}$")]
"""``region``, ``region/zone`` or ``region/zone/subzone``; ``*`` is any."""


class Cookie(Part):
    """A cookie that keeps a client with one pod. With a lifetime, the proxy sets it where it is missing."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", description="the name of the cookie", examples=["session"]
    )
    ttl_s: float | None = Field(
        default=None,
        ge=0,
        description="how long the cookie lives, in seconds; 0 for the browser's session; nothing: not set",
    )
    path: str | None = Field(default=None, description="the path of the cookie", examples=["/"])


class LoadBalancing(Part):
    """How a client's proxy selects a pod: by an algorithm, or the same pod for the same key."""

    algorithm: Literal["least_request", "round_robin", "random"] | None = Field(
        default=None, description="least_request, round_robin or random", examples=["least_request"]
    )
    hash_header: HeaderName | None = Field(
        default=None, description="a request header: requests with the same value go to the same pod"
    )
    hash_cookie: Cookie | None = Field(
        default=None, description="a cookie: requests with the same value go to the same pod"
    )
    hash_query: str | None = Field(
        default=None,
        min_length=1,
        description="a query parameter: requests with the same value go to the same pod",
    )
    hash_source: Literal[True] | None = Field(
        default=None, description="true: requests from the same address go to the same pod"
    )
    warm_up_s: Seconds | None = Field(
        default=None,
        description="time in which a new pod's share grows to its full one, in seconds; not with random",
    )
    failover: Mapping[str, str] = Field(
        default_factory=dict,
        description="region to the region that takes its requests when its pods fail",
        examples=[{"eu-west": "eu-central"}],
    )
    distribute: Mapping[Locality, Mapping[Locality, int]] = Field(
        default_factory=dict,
        description="locality of the callers to percentages of the localities that serve them, 100 in all",
        examples=[{"eu-west/a/*": {"eu-west/a/*": 80, "eu-west/b/*": 20}}],
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = ("algorithm", "hash_header", "hash_cookie", "hash_query", "hash_source")
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) > 1 or not (given or self.failover or self.distribute):
            raise ValueError(f"exactly one of {', '.join(ways[:-1])} and {ways[-1]} is needed")
        if self.warm_up_s is not None and self.algorithm in (None, "random"):
            raise At(("warm_up_s",), "a pod is warmed up with least_request and round_robin only")
        if self.failover and self.distribute:
            raise At(("failover",), "failover and distribute exclude each other")
        for source, shares in self.distribute.items():
            if sum(shares.values()) != 100 or min(shares.values()) < 1:
                raise At(("distribute", source), "the percentages are 1 to 100, and sum to 100")
        return self


class Keepalive(Part):
    """TCP keep-alive of connections that are idle. What is not given the system decides."""

    time_s: int | None = Field(
        default=None, ge=1, description="idle time before the first probe, in seconds", examples=[60]
    )
    interval_s: int | None = Field(default=None, ge=1, description="time between probes, in seconds")
    probes: int | None = Field(
        default=None, ge=1, description="unanswered probes before the connection counts as dead"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any((self.time_s, self.interval_s, self.probes)):
            raise ValueError("at least one of time_s, interval_s and probes is needed")
        return self


class ConnectionLimits(Part):
    """Limits of one client's proxy for a Service; requests beyond them fail at once with status 503."""

    max_connections: int | None = Field(
        default=None, ge=1, description="TCP connections, at least 1", examples=[100]
    )
    max_pending_requests: int | None = Field(
        default=None, ge=1, description="requests waiting for a connection, at least 1", examples=[100]
    )
    max_requests: int | None = Field(
        default=None, ge=1, description="requests under way, at least 1", examples=[100]
    )
    max_requests_per_connection: int | None = Field(
        default=None, ge=1, description="requests on one connection, at least 1"
    )
    max_retries: int | None = Field(default=None, ge=1, description="retries under way, at least 1")
    connect_timeout_s: Seconds | None = Field(
        default=None, description="time to connect to a pod, in seconds"
    )
    idle_timeout_s: Seconds | None = Field(
        default=None, description="time after which an idle connection is closed, in seconds"
    )
    keepalive: Keepalive | None = Field(default=None, description="TCP keep-alive")
    http2: Literal[True] | None = Field(
        default=None, description="true: requests are sent over HTTP/2, which the Service must speak"
    )


class OutlierDetection(Part):
    """Ejection of pods that answer with 5xx repeatedly. The defaults are Istio's."""

    consecutive_5xx: int = Field(
        default=5,
        ge=0,
        description="5xx answers in a row before a pod is ejected; 0: they do not count",
    )
    consecutive_gateway_errors: int | None = Field(
        default=None,
        ge=1,
        description="502, 503 and 504 in a row before a pod is ejected; nothing: none",
    )
    consecutive_local_failures: int | None = Field(
        default=None,
        ge=1,
        description="failed or timed-out connections in a row before a pod is ejected, counted apart from "
        "its answers; nothing: they count as 5xx",
    )
    interval_s: Seconds = Field(
        default=10, description="time between two evaluations of the pods, in seconds"
    )
    base_ejection_s: Seconds = Field(
        default=30, description="the duration of the first ejection in seconds; it grows each time"
    )
    max_ejection_s: Seconds | None = Field(
        default=None, description="the duration of the longest ejection, in seconds"
    )
    max_ejection_percent: Percent = Field(
        default=10, description="at most this share of the pods is ejected, in percent"
    )
    min_healthy_percent: Percent | None = Field(
        default=None,
        description="below this share of pods that are not ejected all pods get requests, in percent",
    )

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        counted = (self.consecutive_5xx, self.consecutive_gateway_errors, self.consecutive_local_failures)
        if not any(counted):
            raise At(("consecutive_5xx",), "0 without another count ejects no pod")
        return self

    @model_validator(mode="after")
    def _longest_is_not_shorter(self) -> Self:
        if self.max_ejection_s is not None and self.max_ejection_s < self.base_ejection_s:
            raise At(("max_ejection_s",), f"it is shorter than base_ejection_s, {self.base_ejection_s:g}")
        return self


def require_possible_failover(balancing: LoadBalancing | None, outliers: OutlierDetection | None) -> None:
    """Raise ``At`` for a failover without the outlier detection that it needs."""
    if balancing and balancing.failover and not outliers:
        problem = "without outlier_detection no pod ever counts as failed"
        raise At(("load_balancing", "failover"), problem)
