"""The interface of each mesh's ``meaning`` package, which converts its objects to the proxy model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from meshkit.facts import Kind
from meshkit.meshes.gateway_api.meaning.status import RouteStatus
from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.outbound import Object, Outbound, Problem
from meshkit.meshes.model.pods import Proxy
from meshkit.meshes.model.registry import Registry


class Meaning(Protocol):
    """Converts the objects of a cluster to the proxy configuration of a pod. A module implements it."""

    @property
    def KINDS(self) -> Mapping[str, Kind]:
        """The kinds that the conversion reads, by the names of resources in a ``Registry``."""

    @property
    def PROXY(self) -> Proxy:
        """How to recognize the mesh's proxy in a pod, and its identity."""

    def caller_of(self, registry: Registry, pod: Object, /) -> Any:
        """The key of a pod's outbound configuration: pods with equal callers share one configuration."""

    def outbound(self, registry: Registry, caller: Any, /) -> Outbound:
        """The outbound configuration for a caller."""

    def inbound(self, registry: Registry, pod: Object, /) -> tuple[Inbound, ...]:
        """The inbound configuration of a pod."""

    def route_problems(self, registry: Registry, /) -> Iterable[Problem]:
        """What of the Gateway API routes has no effect, whoever calls."""

    def statuses(self, registry: Registry, /) -> Iterable[RouteStatus]:
        """The status that the control plane writes to routes."""
