"""The workloads without a sidecar. Every plaintext caller in the cluster is one of them.

A control plane is none: it serves its sidecars by means of its own and calls no workload.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes import registry

_SYSTEM = "kube-system"


def unmeshed_workloads(pods: Iterable[Object], mesh: str | None = None) -> list[str]:
    """The workloads (``namespace/name``) with a running pod that has no sidecar of ``mesh``, or of any."""
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
    """The mesh whose control plane the pod is part of, by its labels or its images, or nothing."""
    if labelled := labelled_control_plane(pod):
        return labelled
    images = [container.get("image", "") for container in pod["spec"]["containers"]]
    rows = registry.MESHES.values()
    return next((row.name for row in rows if any(row.control_plane.image in each for each in images)), "")


def labelled_control_plane(pod: Object) -> str:
    """The mesh whose control plane a pod, or the template of one, is labelled as, or nothing."""
    return next((row.name for row in registry.MESHES.values() if row.control_plane.is_part(pod)), "")
