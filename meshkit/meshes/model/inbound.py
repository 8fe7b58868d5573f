"""The mesh-independent model of inbound traffic: captured ports, their routes and authorization.

A request takes the first route that matches, and each route has its authorization. Istio has one route per
port; Linkerd has one for each HTTPRoute on a Server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meshkit.meshes.model.outbound import Match, PortProtocol, StringMatch

Subject = Literal[
    "identity", "source_ip", "remote_ip", "path", "method", "host", "header", "port", "sni", "nothing"
]
"""The subject of a condition. ``identity`` is the name in the caller's certificate; without a certificate no
match holds. ``nothing`` stands for data that the sandbox does not have: no match holds.
"""


@dataclass(frozen=True)
class Condition:
    """The subject matches one of ``values`` (addresses and ports as text), or none of them if inverted."""

    subject: Subject
    values: tuple[StringMatch, ...]
    name: str = ""
    """The name of the header."""
    inverted: bool = False


All = tuple[Condition, ...]
"""Conditions that must all hold; without any it holds for every request."""


@dataclass(frozen=True)
class Rule:
    """A rule that holds if one of ``sources``, one of ``operations`` and all of ``when`` hold."""

    sources: tuple[All, ...] = ((),)
    operations: tuple[All, ...] = ((),)
    when: All = ()


@dataclass(frozen=True)
class Policy:
    """A policy that holds for a request if one of its rules does; without rules it never holds."""

    name: str
    rules: tuple[Rule, ...] = (Rule(),)


@dataclass(frozen=True)
class Authorization:
    """A request is refused if a ``deny`` policy holds, or if no ``allow`` policy does (None: all pass).

    The ``shadow`` policies refuse nobody: the proxy counts what they would do if they were the only ones.
    """

    deny: tuple[Policy, ...] = ()
    allow: tuple[Policy, ...] | None = None
    shadow_deny: tuple[Policy, ...] = ()
    shadow_allow: tuple[Policy, ...] | None = None


@dataclass(frozen=True)
class InboundRoute:
    """A route for requests that meet ``match``. With a ``status`` the proxy answers them itself."""

    name: str = "default"
    match: Match = field(default_factory=Match)
    authorization: Authorization = field(default_factory=Authorization)
    status: int | None = None


@dataclass(frozen=True)
class CallerLimit:
    """The requests a second that some callers, by their identities, may send together."""

    identities: tuple[str, ...]
    rps: int


@dataclass(frozen=True)
class RateLimit:
    """The requests a second that one pod takes at a port; what exceeds them is answered with 429.

    ``total_rps`` holds for all requests, and in addition ``caller_rps`` for each identity, or for those that
    an override names its limit instead. Callers without an identity share one limit.
    """

    name: str
    """The name of the object that says so."""
    total_rps: int | None = None
    caller_rps: int | None = None
    overrides: tuple[CallerLimit, ...] = ()

    def of(self, identity: str | None) -> int | None:
        """The limit of a caller: the smaller one of its own and the total; None without any."""
        named = (each.rps for each in self.overrides if identity in each.identities)
        own = next(named, self.caller_rps)
        return min((each for each in (own, self.total_rps) if each), default=None)


InboundMode = Literal["plaintext", "permissive", "strict"]


@dataclass(frozen=True)
class Inbound:
    """A captured port.

    ``strict`` refuses plaintext connections; ``server`` names the object that rules it. With the
    ``protocol`` tcp there is one route, for whole connections, and its authorization asks for nothing that
    only a request has.
    """

    port: int
    mode: InboundMode
    routes: tuple[InboundRoute, ...] = (InboundRoute(),)
    server: str = ""
    protocol: PortProtocol = "http"
    limit: RateLimit | None = None
