"""What a proxy does with what arrives at its pod, in no mesh's words: who gets in, and by which rules.

A request takes the first route whose match holds, and each route says who may. Istio has one route for each
port; Linkerd's HTTPRoutes on a Server are several.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meshkit.meshes.model.outbound import Match, StringMatch

Subject = Literal[
    "identity", "source_ip", "remote_ip", "path", "method", "host", "header", "port", "sni", "nothing"
]
"""What a condition looks at. ``identity`` is the name in the caller's certificate; a caller without one has
none, and no match of it holds. ``nothing`` is what the sandbox cannot know: no match of it holds.
"""


@dataclass(frozen=True)
class Condition:
    """The subject meets one of ``values`` (addresses and ports are written out); inverted: none of them."""

    subject: Subject
    values: tuple[StringMatch, ...]
    name: str = ""
    """Of a header."""
    inverted: bool = False


All = tuple[Condition, ...]
"""Conditions that must all hold; without any it holds for every request."""


@dataclass(frozen=True)
class Rule:
    """One of ``sources``, one of ``operations``, and ``when``."""

    sources: tuple[All, ...] = ((),)
    operations: tuple[All, ...] = ((),)
    when: All = ()


@dataclass(frozen=True)
class Policy:
    """Holds for a request when one of its rules does; without rules it never holds."""

    name: str
    rules: tuple[Rule, ...] = (Rule(),)


@dataclass(frozen=True)
class Authorization:
    """A request passes unless a policy of ``deny`` holds, or none of ``allow`` does (None: all are)."""

    deny: tuple[Policy, ...] = ()
    allow: tuple[Policy, ...] | None = None


@dataclass(frozen=True)
class InboundRoute:
    """Requests that meet ``match``. With a ``status`` the proxy answers them itself."""

    name: str = "default"
    match: Match = field(default_factory=Match)
    authorization: Authorization = field(default_factory=Authorization)
    status: int | None = None


InboundMode = Literal["plaintext", "permissive", "strict"]


@dataclass(frozen=True)
class Inbound:
    """One captured port. ``strict`` refuses plain text at the connection; ``server`` names what rules it."""

    port: int
    mode: InboundMode
    routes: tuple[InboundRoute, ...] = (InboundRoute(),)
    server: str = ""
