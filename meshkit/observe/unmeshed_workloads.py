"""The workloads without a sidecar. Whoever calls in plain text is one of them, or outside the cluster.

A control plane is none: it serves its sidecars by means of its own and calls no workload.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.facts import Object
from meshkit.meshes.injection import SIDECAR, runs_sidecar
from meshkit.observe.callers import workload

_IMAGES = {"istio/pilot": "istio", "linkerd/controller": "linkerd"}
_SYSTEM = "kube-system"


def outsiders(pods: Iterable[Object], mesh: str | None = None) -> list[str]:
    """The workloads (``namespace/name``) with a running pod that has no sidecar of ``mesh``, or of any."""
    meshes = (mesh,) if mesh else tuple(SIDECAR)
    found = {
        workload(pod)
        for pod in pods
        if (pod.get("status") or {}).get("phase") == "Running"
        and "deletionTimestamp" not in pod["metadata"]
        and pod["metadata"]["namespace"] != _SYSTEM
        and not control_plane_of(pod)
        and not any(runs_sidecar(pod, each) for each in meshes)
    }
    return sorted(found)


def control_plane_of(pod: Object) -> str:
    """The mesh whose control plane the pod is part of, by its labels or its images, or nothing."""
    if labelled := labelled_control_plane(pod):
        return labelled
    images = [container.get("image", "") for container in pod["spec"]["containers"]]
    return next((mesh for part, mesh in _IMAGES.items() if any(part in each for each in images)), "")


def labelled_control_plane(pod: Object) -> str:
    """The mesh whose control plane a pod, or the template of one, is labelled as, or nothing."""
    labels = pod["metadata"].get("labels") or {}
    if labels.get("app") == "istiod":
        return "istio"
    return "linkerd" if "linkerd.io/control-plane-component" in labels else ""
