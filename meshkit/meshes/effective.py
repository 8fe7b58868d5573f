"""What the objects of a Snapshot mean for each pod: computed when asked, and once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from meshkit.facts import Object, Snapshot
from meshkit.meshes.injection import proxies, rules_of
from meshkit.meshes.model.inbound import Inbound
from meshkit.meshes.model.meaning import Meaning
from meshkit.meshes.model.outbound import Outbound
from meshkit.meshes.model.registry import Registry


@dataclass(frozen=True)
class Effective:
    """The effective configuration of one mesh's proxies, from the objects of a Snapshot.

    ``home`` is the control plane's namespace. The Snapshot holds the kinds of ``meaning.KINDS``.
    """

    snapshot: Snapshot
    mesh: str
    meaning: Meaning
    home: str
    _outbound: dict[Any, Outbound] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def registry(self) -> Registry:
        """The objects, indexed by the names of their resources."""
        return Registry.reading(self.snapshot.objects, self.meaning.KINDS, self.home)

    @cached_property
    def callers(self) -> Mapping[Any, Sequence[Object]]:
        """The callers of the mesh's pods, each with the live pods that share its configuration."""
        found: dict[Any, list[Object]] = {}
        for pod in proxies(self.registry.of("pods"), self.mesh):
            if pod["metadata"]["namespace"] != self.home:
                found.setdefault(self.meaning.caller_of(self.registry, pod), []).append(pod)
        return found

    @cached_property
    def sidecarless(self) -> Mapping[int, str]:
        """Identity of a live pod in the mesh without a sidecar -> what puts it there."""
        rules = rules_of(self.mesh)
        homes = {item["metadata"]["name"]: item for item in self.snapshot.of("Namespace")}
        pods = rules.without_sidecar(self.registry.of("pods"), homes.values())
        return {
            id(pod): rules.sidecarless(pod, homes.get(pod["metadata"]["namespace"]) or {}) for pod in pods
        }

    def outbound(self, caller: Any) -> Outbound:
        """The outbound configuration of a caller, as ``meaning.caller_of`` returns it."""
        if caller not in self._outbound:
            self._outbound[caller] = self.meaning.outbound(self.registry, caller)
        return self._outbound[caller]

    def inbound(self, pod: Object) -> tuple[Inbound, ...]:
        """The inbound configuration of a pod."""
        return self.meaning.inbound(self.registry, pod)
