"""What a mesh's objects mean, as a protocol: each mesh's ``meaning`` package implements it by a module."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from meshkit.meshes.gateway_api.meaning.status import RouteStatus
from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.outbound import Object, Outbound
from meshkit.meshes.model.registry import Registry


class Meaning(Protocol):
    """From the objects of a cluster to what one pod's proxy does."""

    @property
    def RESOURCES(self) -> tuple[str, ...]:
        """The resources that are read."""

    def caller_of(self, registry: Registry, pod: Object, /) -> Any:
        """What tells the outbound configuration of pods apart: pods of equal callers share one."""

    def outbound(self, registry: Registry, caller: Any, /) -> Outbound:
        """What the proxies of a caller do with its requests."""

    def inbound(self, registry: Registry, pod: Object, /) -> tuple[Inbound, ...]:
        """What a pod's proxy does with what arrives at it."""

    def statuses(self, registry: Registry, /) -> Iterable[RouteStatus]:
        """What the control plane writes into the status of routes."""
