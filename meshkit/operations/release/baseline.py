"""The pods of both versions of a release: how many run, and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from meshkit.decide.admission.unreached import ReadyPods
from meshkit.errors import ClusterError, ManualActionRequired
from meshkit.facts import Kind
from meshkit.kube.pods import is_ready

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute

_FORCED = "With --force (force=True) the requests are given back all the same."
WORKLOADS = (Kind("apps/v1", "Deployment"), Kind("apps/v1", "StatefulSet"))
"""The kinds of the workloads whose pods are a version."""


def ready_pods(cluster: Cluster, release: Release, route: WeightedRoute) -> ReadyPods:
    """Count the ready pods of both versions; nothing is known if they cannot be read or identified."""
    try:
        stable, canary = (
            _ready_of(cluster, release, route, version) for version in (release.stable, release.canary)
        )
    except ClusterError:
        return ReadyPods()
    return ReadyPods(stable, canary)


def enough(ready: ReadyPods) -> bool:
    """Whether the canary has as many ready pods as stable, all of whose requests it is to take."""
    return ready.stable is not None and ready.canary is not None and ready.canary >= max(1, ready.stable)


def short_of(ready: ReadyPods, release: Release) -> str:
    """Say why the canary cannot take all requests at once."""
    if ready.stable is None or ready.canary is None:
        return f"All requests wait: how many pods of {release.canary} are ready is not known."
    return (
        f"All requests wait until {release.canary} has as many ready pods as {release.stable}:"
        f" {ready.canary} of {max(1, ready.stable)}."
    )


def require_ready(cluster: Cluster, release: Release, route: WeightedRoute) -> None:
    """Raise ``ManualActionRequired`` unless the stable version has a ready pod; say how it gets one."""
    stable = release.stable
    try:
        ready = _ready_of(cluster, release, route, stable)
    except ClusterError as error:
        problem = f"Whether {stable} has ready pods is not known: {error.message}"
        raise ManualActionRequired(problem, remedy=f"Nothing was changed. {_FORCED}") from error
    if ready is None:
        problem = f"Which pods {stable} of {release.namespace}/{release.service} has is not known."
        raise ManualActionRequired(problem, remedy=f"Nothing was changed. {_FORCED}")
    if not ready:
        problem = f"{stable} of {release.namespace}/{release.service} has no ready pod to answer requests."
        raise ManualActionRequired(
            problem, remedy=f"Nothing was changed. {_scaling(cluster, release, route)} {_FORCED}"
        )


def _scaling(cluster: Cluster, release: Release, route: WeightedRoute) -> str:
    """Say which command starts pods of the stable version."""
    found = workload_of(cluster, release, route, release.stable)
    if found is None:
        return f"Deploy {release.stable} again; roll back once its pods are ready."
    name = f"{found['kind'].lower()}/{found['metadata']['name']}"
    if found["spec"].get("replicas") == 0:
        scale = f"kubectl -n {release.namespace} scale {name} --replicas=N"
        return f"'{scale}' starts its pods; roll back once they are ready."
    return f"See why the pods of {name} are not ready; roll back once they are."


def workload_of(
    cluster: Cluster, release: Release, route: WeightedRoute, version: str
) -> Mapping[str, Any] | None:
    """The Deployment or StatefulSet whose pods are those of a version, None if it is not known."""
    labels = _labels_of(cluster, release, route, version)
    if not labels:
        return None
    wanted = dict(part.split("=", 1) for part in labels.split(","))
    for kind in WORKLOADS:
        for found in cluster.api.list(kind, release.namespace):
            template = (found["spec"].get("template") or {}).get("metadata") or {}
            if wanted.items() <= (template.get("labels") or {}).items():
                return {**found, "apiVersion": kind.api_version, "kind": kind.kind}
    return None


def _ready_of(cluster: Cluster, release: Release, route: WeightedRoute, version: str) -> int | None:
    labels = _labels_of(cluster, release, route, version)
    if not labels:
        return None
    return sum(map(is_ready, cluster.api.list(Kind("v1", "Pod"), release.namespace, labels=labels)))


def newest_pod_s(cluster: Cluster, release: Release, route: WeightedRoute) -> float:
    """When the newest pod of either version started, in seconds since the epoch; 0 if that is unknown."""
    try:
        pods = [
            pod
            for version in (release.stable, release.canary)
            for pod in pods_of(cluster, release, route, version)
        ]
    except ClusterError:
        return 0.0
    return max((started_s(pod) for pod in pods), default=0.0)


def pods_of(
    cluster: Cluster, release: Release, route: WeightedRoute, version: str
) -> Sequence[Mapping[str, Any]]:
    """The pods of a version: those of its Service, else those with its ``version`` label; none if unknown."""
    labels = _labels_of(cluster, release, route, version)
    return tuple(cluster.api.list(Kind("v1", "Pod"), release.namespace, labels=labels)) if labels else ()


def _labels_of(cluster: Cluster, release: Release, route: WeightedRoute, version: str) -> str:
    """The label selector of a version's pods; empty if it is not known."""
    name = route.service_of(version, release.service)
    wanted = route.pod_labels(version, cluster.api.get(Kind("v1", "Service"), name, release.namespace))
    return ",".join(f"{name}={value}" for name, value in sorted(wanted.items()))


def started_s(pod: Mapping[str, Any]) -> float:
    """When a pod started, in seconds since the epoch; 0 if that is unknown."""
    started = (pod.get("status") or {}).get("startTime")
    return datetime.fromisoformat(str(started)).timestamp() if started else 0.0
