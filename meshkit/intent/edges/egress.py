"""The intent for hosts outside of the mesh that programs call."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from meshkit.intent.base import At, Intent, Name, Part
from meshkit.intent.edges.hosts import FullHost, first_repeated


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None


class EgressPort(Part):
    """A port of hosts outside, and what programs speak there."""

    number: int = Field(ge=1, le=65535, description="the port that programs call", examples=[443])
    protocol: Literal["http", "http2", "grpc", "tls", "tcp"] = Field(
        description="what programs speak: http, http2 or grpc in plain text; tls if they begin TLS"
        " themselves, as for https addresses; tcp for anything else",
        examples=["tls"],
    )
    target_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="the port of the servers, if it is another: for TLS that the callers' proxies begin",
        examples=[443],
    )


class Egress(Intent):
    """Hosts outside of the mesh that programs of a namespace call, by their names and ports.

    The mesh then knows the requests to them: they have metrics and policies, and stay possible where other
    hosts are refused.
    """

    namespace: Name = Field(description="the namespace of the callers", examples=["shop"])
    name: Name = Field(description="the name of the object that registers the hosts", examples=["payments"])
    hosts: tuple[FullHost, ...] = Field(
        min_length=1,
        description="host names; *.example.com is any host within example.com",
        examples=[["payments.example.com"]],
    )
    ports: tuple[EgressPort, ...] = Field(
        min_length=1,
        description="the ports of the hosts",
        examples=[[{"number": 443, "protocol": "tls"}]],
    )
    addresses: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(
        default=(),
        description="the IP addresses of the hosts, or nothing to look the names up; a port with protocol"
        " tcp needs them",
        examples=[["192.0.2.10"]],
    )
    callers: Literal["namespace", "mesh"] = Field(
        default="namespace",
        description="who can call the hosts: the programs of the namespace, or of the whole mesh",
    )
    others: Literal["allow", "refuse"] | None = Field(
        default=None,
        description="what happens to requests of the namespace to all other hosts outside; nothing: what the"
        " mesh does with them now",
        examples=["refuse"],
    )

    @field_validator("hosts", "addresses")
    @classmethod
    def _each_once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if (index := first_repeated(values)) is not None:
            raise At((index,), f"{values[index]} is listed twice")
        return values

    @field_validator("ports")
    @classmethod
    def _each_port_once(cls, ports: tuple[EgressPort, ...]) -> tuple[EgressPort, ...]:
        if (index := first_repeated(port.number for port in ports)) is not None:
            raise At((index, "number"), f"port {ports[index].number} is listed twice")
        return ports

    @property
    def has_patterns(self) -> bool:
        """Whether the hosts are patterns, of which all are or none is."""
        return self.hosts[0].startswith("*")

    @model_validator(mode="after")
    def _patterns_have_no_address(self) -> Self:
        for index, host in enumerate(self.hosts):
            if host.startswith("*") != self.has_patterns:
                problem = f"{host} beside {self.hosts[0]}: host names and patterns need an Egress each"
                raise At(("hosts", index), problem)
        if self.has_patterns and self.addresses:
            raise At(("addresses",), f"{self.hosts[0]} is a pattern, which has no address of its own")
        for index, port in enumerate(self.ports):
            if self.has_patterns and port.target_port:
                problem = f"a host of the pattern {self.hosts[0]} is called at the port that was asked for"
                raise At(("ports", index, "target_port"), problem)
            if port.protocol == "tcp" and not self.addresses:
                problem = "connections with protocol tcp do not name their host, and addresses has none"
                raise At(("ports", index, "protocol"), problem)
        return self
