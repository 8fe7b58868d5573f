"""The intent to route a Service's requests: traffic split, retries, timeouts, limits and faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from meshkit.intent.balancing import (
    ConnectionLimits,
    LoadBalancing,
    OutlierDetection,
    require_possible_failover,
)
from meshkit.intent.base import At, Intent, Location, Name, Part, labels_or
from meshkit.intent.rules import Fault, Retries, Rule, Seconds, Split, whole_weights

PRIMARY = "primary"
"""The name of a route without one of its own."""
_OF_REQUESTS: Mapping[str, tuple[str, ...]] = {
    "load_balancing": ("hash_header", "hash_cookie", "hash_query"),
    "connection_limits": (
        "max_pending_requests",
        "max_requests",
        "max_requests_per_connection",
        "max_retries",
        "http2",
    ),
    "outlier_detection": ("consecutive_gateway_errors",),
}
"""The parts of policies that do nothing for whole connections."""


class Version(Part):
    """One version of a Service: the pods with these labels in addition to the Service's selector."""

    name: Name = Field(description="the name of the version, such as 'v2'", examples=["v2"])
    labels: Mapping[str, str] | None = Field(
        default=None, description="the labels of its pods, or nothing for version=<name>"
    )

    def pod_labels(self) -> dict[str, str]:
        """The labels that select the pods of this version."""
        return labels_or({"version": self.name}, self.labels)


class HeaderMatch(Part):
    """Requests with exactly this header value go to one version, regardless of the split."""

    header: str = Field(
        pattern=r"^[A-Za-z0-9-]+$", description="the name of a request header", examples=["x-user"]
    )
    value: str = Field(min_length=1, description="the exact value of the header", examples=["tester"])
    version: Name = Field(
        description="the version that gets these requests: one of the route's versions", examples=["v2"]
    )


class Route(Intent):
    """How requests to a Service's port are split among its versions."""

    namespace: Name = Field(description="the namespace of the Service", examples=["shop"])
    service: Name = Field(description="the name of the Service", examples=["web"])
    port: int = Field(ge=1, le=65535, description="a port of the Service, 1 to 65535", examples=[8080])
    versions: tuple[Version, ...] = Field(
        min_length=1,
        description="the versions of the Service, at least one",
        examples=[[{"name": "v1"}, {"name": "v2"}]],
    )
    protocol: Literal["http", "tcp"] = Field(
        default="http",
        description="what is split: http, the requests; tcp, whole connections to a port that is not HTTP",
    )
    split: Split = Field(
        description="a percentage for each version that gets requests, 100 in all, at most one decimal",
        examples=[{"v1": 100, "v2": 0}],
    )
    name: Name = Field(default=PRIMARY, description="the name of the route, which a release refers to")
    api: Literal["auto", "mesh", "gateway"] = Field(
        default="auto",
        description="the API that carries it: mesh (the mesh's own: VirtualService with Istio), gateway"
        " (HTTPRoute, or GRPCRoute for gRPC), or auto: the one in use for the Service, else the mesh's"
        " usual one",
    )
    selector: Mapping[str, str] | None = Field(
        default=None, description="the labels that all versions' pods carry, or nothing for app=<service>"
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        description="rules for some of the requests, tried in this order before matches and split",
        examples=[
            [
                {"matches": [{"path": {"prefix": "/api"}, "method": "GET"}], "split": {"v2": 100}},
                {"matches": [{"headers": {"x-user": {"regex": "beta-.*"}}}], "split": {"v2": 100}},
            ]
        ],
    )
    matches: tuple[HeaderMatch, ...] = Field(
        default=(), description="header matches, tried in this order before the split"
    )
    load_balancing: LoadBalancing | None = Field(
        default=None, description="how a pod is selected", examples=[{"algorithm": "least_request"}]
    )
    connection_limits: ConnectionLimits | None = Field(
        default=None, description="limits of each client's proxy"
    )
    outlier_detection: OutlierDetection | None = Field(default=None, description="when a pod is ejected")
    timeout_s: Seconds | None = Field(
        default=None, description="time for a request and its retries, in seconds"
    )
    retries: Retries | None = Field(default=None, description="when a request is retried")
    fault: Fault | None = Field(default=None, description="delays and errors to inject")

    @field_validator("versions")
    @classmethod
    def _distinct(cls, versions: tuple[Version, ...]) -> tuple[Version, ...]:
        names = [version.name for version in versions]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is named twice")
        return versions

    @model_validator(mode="after")
    def _connections_are_only_split(self) -> Self:
        of_requests = ("rules", "matches", "timeout_s", "retries", "fault")
        for name in of_requests if self.protocol == "tcp" else ():
            if getattr(self, name):
                raise At((name,), "it is of requests, and with protocol tcp only connections are seen")
        for part, names in _OF_REQUESTS.items() if self.protocol == "tcp" else ():
            for name in names:
                if getattr(getattr(self, part), name, None):
                    raise At(
                        (part, name), "it is of requests, and with protocol tcp only connections are seen"
                    )
        if self.protocol == "tcp" and self.name != PRIMARY:
            raise At(("name",), "it is for releases, which judge requests; with protocol tcp leave it out")
        return self

    @model_validator(mode="after")
    def _failover_is_possible(self) -> Self:
        require_possible_failover(self.load_balancing, self.outlier_detection)
        return self

    @model_validator(mode="after")
    def _known_versions(self) -> Self:
        known = [version.name for version in self.versions]
        for at, name in self._named_versions():
            if name not in known:
                raise At(at, f"there is no version {name!r}; versions has {', '.join(known)}")
        return self

    def _named_versions(self) -> Iterator[tuple[Location, str]]:
        yield from ((("split", name), name) for name in self.split)
        for i, rule in enumerate(self.rules):
            yield from ((("rules", i, "split", name), name) for name in rule.split or ())
            if rule.mirror and rule.mirror.version:
                yield ("rules", i, "mirror", "version"), rule.mirror.version
        for i, match in enumerate(self.matches):
            yield ("matches", i, "version"), match.version

    def names_grpc(self) -> bool:
        """Whether it names methods or statuses of gRPC, so that Gateway API has a kind of route for it."""
        retries = (self.retries, *(rule.retries for rule in self.rules))
        return any(match.grpc for rule in self.rules for match in rule.matches) or any(
            each.grpc_statuses for each in retries if each
        )

    def pod_selector(self) -> dict[str, str]:
        """The labels that the pods of all versions have."""
        return labels_or({"app": self.service}, self.selector)

    def in_order(self, split: Mapping[str, float]) -> dict[str, float]:
        """The percentages of the versions that a rule names, in the order of ``versions``."""
        return {version.name: split[version.name] for version in self.versions if version.name in split}

    def weights(self) -> dict[str, int]:
        """Integer weights in the order of ``versions``, out of 100, or out of 1000 if one has a decimal."""
        return whole_weights({version.name: self.split.get(version.name, 0) for version in self.versions})

    def used_versions(self) -> set[str]:
        """The names of the versions that get requests, or copies of them."""
        named = {match.version for match in self.matches}
        named |= {name for name, percent in self.split.items() if percent}
        for rule in self.rules:
            named |= {name for name, percent in (rule.split or {}).items() if percent}
            named |= {rule.mirror.version} if rule.mirror and rule.mirror.version else set()
        return named
