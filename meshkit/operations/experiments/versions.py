"""What ran during an experiment: the versions of meshkit and the mesh, and the images of the workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshkit.kube.kinds import DEPLOYMENT
from meshkit.meshes import registry
from meshkit.operations.which_mesh import components_of
from meshkit.version import __version__

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster


def versions_of(cluster: Cluster, mesh: str, namespace: str) -> tuple[tuple[str, str], ...]:
    """(what, version) of meshkit, of the control plane's images, and of those of a namespace's Deployments.

    What may not be read is left out.
    """
    from meshkit.errors import Forbidden

    found = [("meshkit", __version__)]
    try:
        found += [
            (f"{mesh}/{each['metadata']['name']}", _images(each))
            for each in components_of(registry.mesh(mesh), cluster)
        ]
        found += [
            (f"{namespace}/{each['metadata']['name']}", _images(each))
            for each in cluster.api.list(DEPLOYMENT, namespace)
        ]
    except Forbidden:
        return tuple(found)
    return tuple(found)


def _images(deployment: object) -> str:
    spec = deployment["spec"]["template"]["spec"]  # type: ignore[index]
    return ", ".join(container["image"] for container in spec["containers"])
