"""The namespaces that are to move, and the objects that concern them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from meshkit.facts import Object
from meshkit.kube.metadata import group_of
from meshkit.kube.selectors import selects
from meshkit.meshes.istio.ambient.waypoints import Waypoints
from meshkit.meshes.model.hosts import full_host, host_of
from meshkit.meshes.view import View


@dataclass(frozen=True)
class Scope:
    """The namespaces to move, in what was read."""

    view: View
    namespaces: frozenset[str]

    def of(self, kind: str, group: str = "istio.io") -> Iterator[Object]:
        """The objects of a kind of Istio in these namespaces, and those for the whole mesh."""
        for item in self.view.of(kind):
            where = item["metadata"].get("namespace")
            if group_of(item).endswith(group) and where in (*self.namespaces, self.view.home):
                yield item

    @cached_property
    def waypoints(self) -> Waypoints:
        """The waypoints that exist already."""
        return Waypoints.of(self.view.snapshot.objects)

    @cached_property
    def services(self) -> Mapping[str, Object]:
        """Host -> the Service of these namespaces."""
        found = (item for name in sorted(self.namespaces) for item in self.view.of("Service", name))
        return {host_of(item): item for item in found}

    def service_of(self, host: str, namespace: str) -> Object | None:
        """The Service of these namespaces that a host, as an object of a namespace writes it, stands for."""
        return self.services.get(full_host(host.lower(), namespace))

    def concerns(self, item: Object) -> bool:
        """Whether an object with a selector of pods, or with none, is for a pod of these namespaces."""
        spec = item.get("spec") or {}
        chosen = (spec.get("selector") or spec.get("workloadSelector") or {}) or {}
        wanted = chosen.get("matchLabels") or chosen.get("labels") or {}
        here = item["metadata"].get("namespace")
        homes = sorted(self.namespaces) if here == self.view.home else [here]
        return not wanted or any(selects(wanted, pod) for name in homes for pod in self.view.of("Pod", name))
