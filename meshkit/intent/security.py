"""The intents for mutual TLS and for access to Services."""

from __future__ import annotations

import datetime as dt
import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from meshkit.intent.base import At, Intent, Name, Part

Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]

_PATH = re.compile(r"/[^*?#\s{}]*(?<=/)\*|/[^*?#\s{}]*")


class MutualTLS(Intent):
    """Servers accept mutual TLS only (``strict``), both (``permissive``) or plain text (``disable``)."""

    mode: Literal["permissive", "strict", "disable"] = Field(
        description="permissive, strict or disable", examples=["strict"]
    )
    namespace: Name | None = Field(
        default=None, description="the namespace it applies to, or nothing for the whole mesh"
    )


class Caller(Part):
    """A caller: a ServiceAccount, a workload (by its ServiceAccount), or all meshed pods of a namespace."""

    namespace: Name = Field(description="the namespace of the caller", examples=["shop"])
    service_account: Name | None = Field(
        default=None, description="the ServiceAccount that the caller runs as, or nothing for the namespace"
    )
    workload: Name | None = Field(
        default=None,
        description="a Deployment with a ServiceAccount of its own, instead of service_account",
        examples=["client"],
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.service_account and self.workload:
            raise ValueError("only one of service_account and workload can be given")
        return self


class Access(Intent):
    """Allow only these callers, authenticated by mutual TLS, to call a Service; others get status 403.

    The first ``Access`` of a Service closes every port that Services expose on its pods; each further one,
    under another ``name``, opens more. The kubelet's probes always pass. In ``shadow`` mode nobody is
    refused: the servers' proxies count whom ``enforce`` would refuse.
    """

    namespace: Name = Field(description="the namespace of the Service", examples=["shop"])
    service: Name = Field(description="the name of the Service", examples=["web"])
    callers: tuple[Caller, ...] = Field(
        min_length=1,
        description="who may call, at least one",
        examples=[[{"namespace": "shop", "workload": "client"}]],
    )
    port: int | None = Field(
        default=None, ge=1, le=65535, description="a port of the Service, or nothing for all of its ports"
    )
    paths: tuple[str, ...] = Field(
        default=(),
        description="paths such as '/health', or '/api/*' for /api and all below it; nothing for every path",
    )
    methods: tuple[Method, ...] = Field(
        default=(), description="HTTP methods such as GET, or nothing for every method"
    )
    name: Name = Field(default="access", description="distinguishes several intents for one Service")
    mode: Literal["enforce", "shadow"] = Field(
        default="enforce", description="enforce refuses other callers, shadow only counts them"
    )
    until: str | None = Field(
        default=None,
        description="the last day of an exception as YYYY-MM-DD, after which the check reports it",
        examples=["2027-03-31"],
    )

    @field_validator("paths")
    @classmethod
    def _readable(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for index, path in enumerate(paths):
            if not _PATH.fullmatch(path):
                raise At((index,), f"{path!r} is neither a path that begins with / nor one that ends in /*")
        return paths

    @field_validator("until")
    @classmethod
    def _day(cls, until: str | None) -> str | None:
        try:
            return until and dt.date.fromisoformat(until).isoformat()
        except ValueError:
            raise ValueError(f"{until!r} is not a date") from None
