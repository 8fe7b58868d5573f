"""The intent for how clients' proxies connect to a Service, or to a host outside of the mesh."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from meshkit.intent.balancing import (
    ConnectionLimits,
    LoadBalancing,
    OutlierDetection,
    require_possible_failover,
)
from meshkit.intent.base import At, Intent, Name, Part, is_name
from meshkit.intent.rules import HostName

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


def _host(name: str) -> str:
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise ValueError(
            f"{name!r} is neither the name of a Service nor a host name in lower case, such as"
            " payments.example.com or *.example.com"
        )
    if re.search(r"\.svc(\.|$)", name):
        service, _, rest = name.partition(".")
        namespace = rest.split(".")[0]
        raise ValueError(
            f"{name!r} is a Service in full; name it alone, as {service!r}, with namespace {namespace!r}"
        )
    return name


class TLSOrigination(Part):
    """TLS that the callers' proxies begin, so that programs call a server outside of the mesh in plain text.

    The proxies check the server's certificate, without ``secret`` against the certificate authorities of
    their system.
    """

    mode: Literal["simple", "mutual"] = Field(
        default="simple",
        description="simple: only the server shows a certificate; mutual: the callers show one, too",
    )
    sni: HostName | None = Field(
        default=None,
        description="the server name to ask for, or nothing for the host of the policy",
        examples=["payments.example.com"],
    )
    server_names: tuple[str, ...] = Field(
        default=(), description="the names of which the server's certificate must have one, or nothing: sni"
    )
    secret: Name | None = Field(
        default=None,
        description="a Secret in the namespace of the callers, with their certificate and key (tls.crt, "
        "tls.key) if mode is mutual, and the certificate authority of the server (ca.crt)",
        examples=["payments-client"],
    )

    @model_validator(mode="after")
    def _mutual_has_a_certificate(self) -> Self:
        if self.mode == "mutual" and self.secret is None:
            raise At(("secret",), "mode is mutual, and without a Secret there is no certificate to show")
        return self


class DestinationPolicy(Intent):
    """How clients' proxies connect to one Service, or to one host outside of the mesh.

    What is left out is the mesh's default. For a port, a policy of that port comes before one of every port.
    """

    namespace: Name = Field(
        description="the namespace of the Service, or of the ServiceEntry that has the host",
        examples=["shop"],
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        description="a Service of the namespace, such as web, or a host of a ServiceEntry, such as "
        "payments.example.com",
        examples=["payments.example.com"],
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="the port of the host that it is for, or nothing for every port",
        examples=[80],
    )
    load_balancing: LoadBalancing | None = Field(
        default=None, description="how a pod is selected", examples=[{"algorithm": "least_request"}]
    )
    connection_limits: ConnectionLimits | None = Field(
        default=None, description="limits of each client's proxy"
    )
    outlier_detection: OutlierDetection | None = Field(default=None, description="when a pod is ejected")
    tls: TLSOrigination | None = Field(
        default=None, description="TLS to a host outside of the mesh, begun by the callers' proxies"
    )
    callers: Mapping[str, str] | None = Field(
        default=None,
        min_length=1,
        description="the labels of the pods in the namespace that the policy of a host outside is for, or "
        "nothing for every caller; tls.secret needs them",
        examples=[{"app": "checkout"}],
    )

    @property
    def service(self) -> str | None:
        """The name of the Service, or None for a host outside of the mesh."""
        return self.host if is_name(self.host) else None

    @model_validator(mode="after")
    def _failover_is_possible(self) -> Self:
        require_possible_failover(self.load_balancing, self.outlier_detection)
        return self

    @model_validator(mode="after")
    def _only_outside(self) -> Self:
        for name in ("tls", "callers"):
            if self.service and getattr(self, name) is not None:
                problem = f"{self.host} is a Service of the mesh, and {name} is for hosts outside only"
                raise At((name,), problem)
        if self.tls and self.tls.secret and not self.callers:
            problem = "a Secret is given to selected pods only, and callers does not say which"
            raise At(("tls", "secret"), problem)
        return self
