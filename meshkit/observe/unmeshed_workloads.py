"""Workloads without a sidecar: every plaintext caller in the cluster is one of them.

Control planes are excluded: they secure their own connections to sidecars and do not call workloads.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes import registry

_SYSTEM = "kube-system"


def unmeshed_workloads(pods: Iterable[Object], mesh: str | None = None) -> list[str]:
    """The workloads (``namespace/name``) with a running pod without a sidecar of ``mesh`` (None: of any)."""
    rows = (registry.mesh(mesh),) if mesh else tuple(registry.MESHES.values())
    found = {
        workload(pod)
        for pod in pods
        if (pod.get("status") or {}).get("phase") == "Running"
        and "deletionTimestamp" not in pod["metadata"]
        and pod["metadata"]["namespace"] != _SYSTEM
        and not control_plane_of(pod)
        and not any(row.injection.runs_sidecar(pod) for row in rows)
    }
    return sorted(found)


def control_plane_of(pod: Object) -> str:
    """The mesh whose control plane a pod belongs to, by its labels or images, or empty."""
    if labelled := labelled_control_plane(pod):
        return labelled
    images = [container.get("image", "") for container in pod["spec"]["containers"]]
    rows = registry.MESHES.values()
    return next((row.name for row in rows if any(row.control_plane.image in each for each in images)), "")


def labelled_control_plane(pod: Object) -> str:
    """The mesh whose control plane a pod or pod template belongs to, by its labels, or empty."""
    return next((row.name for row in registry.MESHES.values() if row.control_plane.is_part(pod)), "")
