"""The intent for Services that callers outside of the cluster reach through a gateway."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from meshkit.intent.base import At, Intent, Name, Part
from meshkit.intent.edges.hosts import FullHost, first_repeated
from meshkit.intent.rules import Path, Split


class Certificate(Part):
    """The certificate that a gateway shows: a Secret, which cert-manager may write.

    meshkit writes the name of the Secret only, and never reads its content.
    """

    secret: Name = Field(
        description="a Secret of type kubernetes.io/tls in the namespace", examples=["shop-tls"]
    )
    issuer: Name | None = Field(
        default=None,
        description="the issuer by which cert-manager writes the Secret, or nothing if it is there",
        examples=["letsencrypt"],
    )
    issuer_kind: Literal["ClusterIssuer", "Issuer"] = Field(
        default="ClusterIssuer", description="ClusterIssuer, or Issuer for one of the namespace"
    )

    @model_validator(mode="after")
    def _kind_of_an_issuer(self) -> Self:
        if "issuer_kind" in self.model_fields_set and self.issuer is None:
            raise At(("issuer",), f"issuer_kind is {self.issuer_kind}, and no issuer is named")
        return self


class ExposedService(Part):
    """Requests from outside whose path begins with a prefix, and the Service that gets them."""

    path: Path = Field(
        default="/",
        description="a path prefix in whole segments: /api is for /api and /api/v1; of several, the longest"
        " that matches counts",
        examples=["/api"],
    )
    service: Name = Field(description="a Service of the namespace", examples=["web"])
    port: int = Field(ge=1, le=65535, description="a port of the Service", examples=[8080])
    split: Split | None = Field(
        default=None,
        description="percent for each version, 100 in all; a version is the Service that a Route with api:"
        " gateway makes for it",
        examples=[{"v1": 90, "v2": 10}],
    )


class Exposure(Intent):
    """Hosts and paths at which callers outside of the cluster reach Services, through a gateway."""

    namespace: Name = Field(
        description="the namespace of the Services, the certificate and the gateway", examples=["shop"]
    )
    name: Name = Field(description="the name of the gateway", examples=["public"])
    hosts: tuple[FullHost, ...] = Field(
        min_length=1,
        max_length=32,
        description="1 to 32 host names; *.example.com is any host within example.com",
        examples=[["shop.example.com"]],
    )
    routes: tuple[ExposedService, ...] = Field(
        min_length=1,
        max_length=16,
        description="1 to 16 path prefixes with their Services",
        examples=[[{"path": "/", "service": "web", "port": 8080}]],
    )
    certificate: Certificate | None = Field(
        default=None,
        description="the certificate of the hosts, or nothing to take requests in plain text",
        examples=[{"secret": "shop-tls"}],
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="the port of the gateway; nothing: 443 with a certificate, else 80",
        examples=[8443],
    )
    redirect: bool = Field(
        default=True, description="with a certificate: port 80 sends callers to the port with TLS"
    )
    service: Literal["LoadBalancer", "NodePort", "ClusterIP"] = Field(
        default="LoadBalancer",
        description="LoadBalancer, NodePort or ClusterIP: how the gateway is reached",
    )

    @property
    def listener_port(self) -> int:
        """The port of the gateway."""
        return self.port or (443 if self.certificate else 80)

    @property
    def redirects(self) -> bool:
        """Whether port 80 sends callers to the port with TLS."""
        return self.certificate is not None and self.redirect

    @field_validator("hosts")
    @classmethod
    def _each_once(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if (index := first_repeated(hosts)) is not None:
            raise At((index,), f"{hosts[index]} is listed twice")
        return hosts

    @field_validator("routes")
    @classmethod
    def _each_path_once(cls, routes: tuple[ExposedService, ...]) -> tuple[ExposedService, ...]:
        if (index := first_repeated(route.path.rstrip("/") for route in routes)) is not None:
            raise At((index, "path"), f"{routes[index].path} is listed twice")
        return routes

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.redirects and self.listener_port == 80:
            raise At(("port",), "port 80 is for the redirect to TLS, unless redirect is false")
        return self
