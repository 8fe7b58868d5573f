"""Workloads outside the mesh: every plaintext caller in the cluster is one of them.

Control planes are excluded: they secure their own connections to sidecars and do not call workloads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from meshkit.facts import Object
from meshkit.kube.pods import workload
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh

_SYSTEM = "kube-system"


def unmeshed_workloads(
    pods: Iterable[Object], mesh: str | None = None, namespaces: Iterable[Object] = ()
) -> list[str]:
    """The workloads (``namespace/name``) with a running pod outside ``mesh`` (None: outside any mesh).

    ``namespaces`` tell, beside the pods themselves, which pods are in a mesh without a sidecar.
    """
    rows = (registry.mesh(mesh),) if mesh else tuple(registry.MESHES.values())
    listed = tuple(pods)
    sidecarless = without_sidecar(listed, namespaces, rows)
    found = {
        workload(pod)
        for pod in listed
        if id(pod) not in sidecarless
        and (pod.get("status") or {}).get("phase") == "Running"
        and "deletionTimestamp" not in pod["metadata"]
        and pod["metadata"]["namespace"] != _SYSTEM
        and not control_plane_of(pod)
        and not any(row.injection.runs_sidecar(pod) for row in rows)
    }
    return sorted(found)


def without_sidecar(
    pods: Collection[Object], namespaces: Iterable[Object], rows: Iterable[Mesh] = registry.MESHES.values()
) -> set[int]:
    """The identities (``id``) of the pods that are in one of these meshes without a sidecar."""
    homes = tuple(namespaces)
    return {id(pod) for row in rows for pod in row.injection.without_sidecar(pods, homes)}


def control_plane_of(pod: Object) -> str:
    """The mesh whose control plane a pod belongs to, by its labels or images, or empty."""
    if labelled := labelled_control_plane(pod):
        return labelled
    images = [container.get("image", "") for container in pod["spec"]["containers"]]
    rows = registry.MESHES.values()
    return next((row.name for row in rows if any(_is_of(row, image) for image in images)), "")


def _is_of(row: Mesh, image: str) -> bool:
    """Whether an image is of a mesh's control plane or of its agents on nodes."""
    facts = row.control_plane
    own = (facts.image, facts.node_proxy, *facts.node_agents)
    return any(name in image for name in own if name)


def labelled_control_plane(pod: Object) -> str:
    """The mesh whose control plane a pod or pod template belongs to, by its labels, or empty."""
    return next((row.name for row in registry.MESHES.values() if row.control_plane.is_part(pod)), "")
