"""The rules of a Route: which requests they match, where these go, and what happens to them on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from meshkit.intent.base import At, Name, Part
from meshkit.intent.expressions import MAX_LENGTH, readable

Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
"""Up to a year."""
GrpcStatus = Literal["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]
"""The statuses of gRPC that proxies can retry."""
_GRPC_SERVICE = r"^[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$"
_GRPC_METHOD = r"^[A-Za-z_][A-Za-z_0-9]*$"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _absolute(path: str) -> str:
    if not path.startswith("/") or re.search(r"[\s?#]", path):
        raise ValueError(f"{path!r} is no path: it begins with '/' and has no '?', '#' or spaces")
    return path


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name) or name.lower() == "host":
        raise ValueError(f"{name!r} is not the name of a header that a rule can use")
    return name


def _distinct_headers(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse names that differ in case alone: they are one header, and one of its values would be lost."""
    seen: set[str] = set()
    for name in headers:
        if name.lower() in seen:
            raise At((name,), f"{name!r} is named twice: case does not tell headers apart")
        seen.add(name.lower())
    return headers


Expression = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH), AfterValidator(readable)]
Path = Annotated[str, AfterValidator(_absolute)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
HeaderValues = Annotated[Mapping[HeaderName, HeaderValue], AfterValidator(_distinct_headers)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\[\]-]+$")]


def distributed(split: Mapping[str, float]) -> Mapping[str, float]:
    """Check the percentages of a split: at most one decimal each, 100 in all. Raises ValueError."""
    for version, percent in split.items():
        if percent < 0 or Decimal(str(percent)) * 10 % 1:
            raise At((version,), f"{percent:g} is not a percentage with at most one decimal")
    total = sum((Decimal(str(percent)) for percent in split.values()), Decimal(0))
    if total != 100:
        raise ValueError(f"the weights sum to {total.normalize():f}, not to 100")
    return split


def whole_weights(percents: Mapping[str, float]) -> dict[str, int]:
    """Integer weights in the same order, out of 100, or out of 1000 if one has a decimal."""
    exact = {name: Decimal(str(percent)) for name, percent in percents.items()}
    scale = 1 if all(percent % 1 == 0 for percent in exact.values()) else 10
    return {name: int(percent * scale) for name, percent in exact.items()}


Split = Annotated[Mapping[str, float], AfterValidator(distributed)]


def _exactly_one(part: Part, *names: str) -> None:
    given = [name for name in names if getattr(part, name) not in (None, ())]
    if len(given) != 1:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise ValueError(f"exactly one of {listed} is needed, and there is {' and '.join(given) or 'none'}")


class TextMatch(Part):
    """A condition on the value of a header or query parameter, by exactly one of the fields."""

    exact: str | None = Field(default=None, description="the exact value", examples=["tester"])
    prefix: str | None = Field(default=None, min_length=1, description="the beginning of the value")
    regex: Expression | None = Field(
        default=None, description="a regular expression (RE2) for the whole value"
    )
    present: bool | None = Field(
        default=None, description="true: it is there, with whatever value; false: it is not there"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, "exact", "prefix", "regex", "present")
        return self


class PathMatch(Part):
    """A condition on the path of a request, by exactly one of the fields."""

    exact: Path | None = Field(default=None, description="the exact path", examples=["/health"])
    prefix: Path | None = Field(
        default=None,
        description="the beginning of the path, by whole segments: /api matches /api and /api/v1, not /apis",
    )
    regex: Expression | None = Field(
        default=None, description="a regular expression (RE2) for the whole path"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, "exact", "prefix", "regex")
        return self


class GrpcMatch(Part):
    """The gRPC service and method that a call names, at least one of them."""

    service: Annotated[str, Field(pattern=_GRPC_SERVICE, max_length=1024)] | None = Field(
        default=None, description="the full name of a gRPC service", examples=["shop.Cart"]
    )
    method: Annotated[str, Field(pattern=_GRPC_METHOD, max_length=1024)] | None = Field(
        default=None, description="the name of a method, of the service or of any", examples=["Add"]
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.service is None and self.method is None:
            raise ValueError("at least one of service and method is needed")
        return self

    def path(self) -> PathMatch:
        """The paths of these calls: gRPC asks for ``/package.Service/Method``."""
        if self.service is None:
            return PathMatch(regex=f"/[^/]+/{self.method}")
        if self.method is None:
            return PathMatch(prefix=f"/{self.service}")
        return PathMatch(exact=f"/{self.service}/{self.method}")


class Match(Part):
    """Conditions on a request, all of which must hold."""

    grpc: GrpcMatch | None = Field(
        default=None, description="the service and method of a gRPC call, in place of path, method and query"
    )
    path: PathMatch | None = Field(default=None, description="a condition on the path")
    method: str | None = Field(
        default=None, pattern=r"^[A-Z]+$", description="a request method", examples=["GET"]
    )
    headers: Annotated[Mapping[HeaderName, TextMatch], AfterValidator(_distinct_headers)] = Field(
        default_factory=dict, description="conditions on headers", examples=[{"x-user": {"exact": "tester"}}]
    )
    query: Mapping[Annotated[str, Field(min_length=1)], TextMatch] = Field(
        default_factory=dict, description="conditions on query parameters"
    )
    source_labels: Mapping[str, str] = Field(
        default_factory=dict, description="labels that the caller's pod has"
    )
    source_namespace: Name | None = Field(default=None, description="the namespace of the caller's pod")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("it has no condition; a rule without matches holds for every request")
        return self

    @model_validator(mode="after")
    def _one_protocol(self) -> Self:
        for name in ("path", "method", "query") if self.grpc else ():
            if getattr(self, name):
                raise At((name,), "grpc says which calls match; beside it only headers and callers count")
        return self


class OtherService(Part):
    """Another Service as a destination of a rule, with its share of the rule's requests."""

    service: Name = Field(description="the name of the Service", examples=["web-legacy"])
    port: int = Field(ge=1, le=65535, description="a port of the Service, 1 to 65535", examples=[8080])
    namespace: Name | None = Field(
        default=None, description="its namespace, or nothing for the namespace of the route"
    )
    percent: float = Field(default=100, description="its share in percent; all of a rule sum to 100")


class Redirect(Part):
    """An answer that sends the caller to another address. What is not given stays as it was asked for."""

    scheme: Literal["http", "https"] | None = Field(default=None, description="http or https")
    host: HostName | None = Field(default=None, description="the name of another host")
    port: int | None = Field(default=None, ge=1, le=65535, description="another port, 1 to 65535")
    path: Path | None = Field(default=None, description="another path, in place of the whole path")
    status: Literal[301, 302, 303, 307, 308] = Field(default=302, description="the status of the answer")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not any((self.scheme, self.host, self.port, self.path)):
            raise ValueError("at least one of scheme, host, port and path is needed")
        return self


class Respond(Part):
    """An answer that the caller's proxy gives itself."""

    status: int = Field(ge=200, le=599, description="the status of the answer, 200 to 599", examples=[503])
    body: str | None = Field(
        default=None, max_length=4096, description="the text of the answer, at most 4096 characters"
    )


class Rewrite(Part):
    """The request as the destination sees it: another path or host."""

    path: Path | None = Field(default=None, description="a path in place of the whole path")
    prefix: Path | None = Field(
        default=None, description="a beginning in place of the path prefix that the rule matches"
    )
    host: HostName | None = Field(default=None, description="another host name")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.path is None and self.prefix is None:
            if self.host is None:
                raise ValueError("at least one of path, prefix and host is needed")
        elif self.path and self.prefix:
            raise ValueError("path and prefix exclude each other")
        return self


class Mirror(Part):
    """A copy of a share of the requests, sent to a version or to another Service; its answers are dropped."""

    version: Name | None = Field(default=None, description="one of the route's versions", examples=["v2"])
    service: Name | None = Field(default=None, description="another Service of the route's namespace")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="the port of the other Service, or nothing for the route's"
    )
    percent: Percent = Field(default=100, description="the share of the requests, in percent")

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, "version", "service")
        if self.port is not None and self.service is None:
            raise At(("port",), "a version is reached at the route's port")
        return self


class HeaderEdits(Part):
    """Changes of headers: ``set`` replaces a value, ``add`` adds one, ``remove`` takes the header away."""

    set: HeaderValues = Field(default_factory=dict, description="headers and the values that replace theirs")
    add: HeaderValues = Field(default_factory=dict, description="headers and the values that are added")
    remove: tuple[HeaderName, ...] = Field(default=(), description="the names of headers to remove")


class Cors(Part):
    """The cross-origin requests (CORS) that browsers may make."""

    origins: tuple[str, ...] = Field(
        min_length=1,
        description="the origins that may call, such as https://shop.example; '*' is any",
        examples=[["https://shop.example"]],
    )
    methods: tuple[Annotated[str, Field(pattern=r"^([A-Z]+|\*)$")], ...] = Field(
        default=("GET", "HEAD", "POST"), description="the allowed methods"
    )
    headers: tuple[HeaderName, ...] = Field(default=(), description="request headers that are allowed")
    exposed_headers: tuple[HeaderName, ...] = Field(
        default=(), description="response headers that scripts may read"
    )
    max_age_s: int | None = Field(default=None, ge=0, description="how long a browser may cache this, in s")
    credentials: bool = Field(default=False, description="whether cookies and credentials may be sent")

    @field_validator("origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for place, origin in enumerate(origins):
            if origin != "*" and not re.fullmatch(r"https?://[^\s/?#]+", origin):
                raise At(
                    (place,), f"{origin!r} is neither '*' nor a scheme and a host (https://shop.example)"
                )
        return origins


class Retries(Part):
    """Retries of failed requests. Use them only for idempotent requests."""

    attempts: int = Field(
        ge=0,
        le=10,
        description="how often a request is sent again at most, 0 to 10; 0 is never",
        examples=[2],
    )
    per_try_timeout_s: Seconds | None = Field(default=None, description="time for each attempt, in seconds")
    on: Literal["gateway-error", "5xx"] = Field(
        default="gateway-error",
        description="what is retried: gateway-error (502, 503, 504) or 5xx",
    )
    statuses: tuple[Annotated[int, Field(ge=400, le=599)], ...] = Field(
        default=(), description="further statuses that are retried, 400 to 599"
    )
    grpc_statuses: tuple[GrpcStatus, ...] = Field(
        default=(), description="the statuses of gRPC calls that are retried", examples=[["unavailable"]]
    )
    backoff_s: Seconds | None = Field(
        default=None, description="time before the first retry in seconds; it grows from retry to retry"
    )


class Fault(Part):
    """Fault injection in the caller's proxy: a delay, an error, or both."""

    delay_s: Seconds | None = Field(
        default=None, description="the delay of requests, in seconds", examples=[0.5]
    )
    delay_percent: Percent = Field(
        default=100, description="the share of requests that are delayed, in percent"
    )
    abort_status: int | None = Field(default=None, ge=200, le=599, description="an HTTP status, 200 to 599")
    abort_percent: Percent = Field(
        default=100, description="the share of requests that are aborted, in percent"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.delay_s is None and self.abort_status is None:
            raise ValueError("at least one of delay_s and abort_status is needed")
        return self


class Rule(Part):
    """What happens to the requests that meet one of the matches. The first rule that matches counts.

    They go to exactly one of: versions (``split``), other Services (``services``), another address
    (``redirect``), or nowhere, as the proxy answers (``respond``).
    """

    matches: tuple[Match, ...] = Field(
        default=(),
        description="the conditions, of which one must be met; nothing for every request",
        examples=[[{"path": {"prefix": "/api"}}]],
    )
    split: Split | None = Field(
        default=None, description="a percentage for each version that gets requests", examples=[{"v2": 100}]
    )
    services: tuple[OtherService, ...] = Field(default=(), description="other Services, with their shares")
    redirect: Redirect | None = Field(default=None, description="an address to send the caller to")
    respond: Respond | None = Field(default=None, description="an answer by the caller's proxy")
    rewrite: Rewrite | None = Field(default=None, description="another path or host for the destination")
    mirror: Mirror | None = Field(default=None, description="where a copy of the requests is sent")
    timeout_s: Seconds | None = Field(
        default=None, description="time for a request and its retries in seconds; nothing: the route's"
    )
    retries: Retries | None = Field(
        default=None, description="when a request is retried; nothing: the route's"
    )
    fault: Fault | None = Field(default=None, description="delays and errors to inject; nothing: the route's")
    request_headers: HeaderEdits | None = Field(default=None, description="changes of request headers")
    response_headers: HeaderEdits | None = Field(default=None, description="changes of response headers")
    cors: Cors | None = Field(default=None, description="the cross-origin requests that browsers may make")

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        _exactly_one(self, "split", "services", "redirect", "respond")
        return self

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.services:
            names = [f"{other.namespace or ''}/{other.service}:{other.port}" for other in self.services]
            try:
                if len(set(names)) < len(names):
                    raise ValueError("one Service is named twice")
                distributed(dict(zip(names, (other.percent for other in self.services), strict=True)))
            except ValueError as problem:
                raise At(("services",), str(problem)) from problem
        return self

    @model_validator(mode="after")
    def _forwarded(self) -> Self:
        """An answer of the proxy sends nothing on, and only a prefix that is matched can be replaced."""
        if self.redirect or self.respond:
            for name in ("rewrite", "mirror", "timeout_s", "retries", "fault", "request_headers"):
                if getattr(self, name) is not None:
                    answer = "redirect" if self.redirect else "respond"
                    raise At((name,), f"with {answer} no request is sent on, so it would have no effect")
        if self.rewrite and self.rewrite.prefix and self.matched_prefix() is None:
            raise At(("rewrite", "prefix"), "every match of the rule needs the same path.prefix to replace")
        return self

    def weighted_services(self) -> list[tuple[OtherService, int]]:
        """The other Services with their integer weights."""
        weights = whole_weights({str(at): other.percent for at, other in enumerate(self.services)})
        return list(zip(self.services, weights.values(), strict=True))

    def matched_prefix(self) -> str | None:
        """The path prefix that all matches ask for; None if they ask for none or for several."""
        found = {match.path.prefix if match.path else None for match in self.matches}
        return found.pop() if len(found) == 1 else None
