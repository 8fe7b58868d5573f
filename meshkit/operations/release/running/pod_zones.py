"""Know the zones of both versions' pods while a release runs; the cluster is only asked about new pods."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from meshkit.decide.pods import Placement
from meshkit.errors import ClusterError
from meshkit.facts import Samples
from meshkit.kube.kinds import NODE, ZONE
from meshkit.kube.metadata import labels
from meshkit.operations.release.baseline import pods_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshkit.cluster.connect import Cluster
    from meshkit.facts import Object
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute


FORBIDDEN = 403


class PodZones:
    """The zones of pods by their nodes; a zone that may not be read is unknown."""

    def __init__(self, cluster: Cluster, release: Release, route: WeightedRoute) -> None:
        self._cluster, self._release, self._route = cluster, release, route
        self._of_node: dict[str, str] = {}
        self._of_pod: dict[str, str] = {}

    def of(self, samples: Samples) -> Samples:
        """The samples with the zones of their pods."""
        pods = {pod for of_version in samples.pods.values() for pod in of_version}
        if not pods <= self._of_pod.keys():
            with suppress(ClusterError):  # Asked again with the next window.
                listed = [pod for found in self._pods() for pod in found]
                read = {pod["metadata"]["name"]: self._zone_of(pod) for pod in listed}
                self._of_pod |= {pod: read.get(pod, "") for pod in pods}
        return replace(samples, zones={pod: zone for pod in pods if (zone := self._of_pod.get(pod, ""))})

    def placement(self) -> Placement:
        """The running pods of both versions by zone."""
        stable, canary = (
            Counter(
                self._zone_of(pod) for pod in found if (pod.get("status") or {}).get("phase") == "Running"
            )
            for found in self._pods()
        )
        return Placement(stable, canary)

    def _pods(self) -> Iterable[Iterable[Object]]:
        versions = (self._release.stable, self._release.canary)
        return [pods_of(self._cluster, self._release, self._route, version) for version in versions]

    def _zone_of(self, pod: Object) -> str:
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if node and node not in self._of_node:
            self._of_node = {**self._of_node, node: "", **self._zones()}
        return self._of_node.get(node, "")

    def _zones(self) -> dict[str, str]:
        """The zone of every node; none if nodes may not be listed, as the role for releases may."""
        try:
            nodes = self._cluster.api.list(NODE)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            return {}
        return {each["metadata"]["name"]: labels(each).get(ZONE, "") for each in nodes}
