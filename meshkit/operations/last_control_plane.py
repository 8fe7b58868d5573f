"""An undo that would remove a mesh's last control plane is refused while pods run the mesh's sidecar."""

from __future__ import annotations

from collections.abc import Sequence

from meshkit.cluster import deletion, helm
from meshkit.cluster.connect import Cluster
from meshkit.cluster.undo import Restoration
from meshkit.errors import BadInput, Forbidden
from meshkit.facts import Snapshot
from meshkit.kube.helm import RELEASE
from meshkit.kube.kinds import DEPLOYMENT, POD
from meshkit.kube.metadata import title
from meshkit.meshes import registry
from meshkit.meshes.removal import meshed
from meshkit.operations.which_mesh import components_of


def require_unused(cluster: Cluster, wanted: Sequence[Restoration]) -> None:
    """Raise ``BadInput`` naming the namespaces whose pods would lose the last control plane of their mesh.

    An account that may not read the whole cluster is not asked for more rights: nothing is raised.
    """
    going = [one for one in wanted if one.prior is None and not one.removed]
    if not any(one.kind in (DEPLOYMENT, RELEASE) for one in going):
        return
    try:
        used = _losing(cluster, _titles(cluster, going))
    except Forbidden:
        return
    if used:
        raise BadInput(
            "undo",
            f"it removes the control plane of pods that still run its sidecar, in {', '.join(used)}.",
            remedy="Undo their injection first ('meshkit history'), or use force=True (--force): "
            "their proxies get no new routes, and their connections fail once their certificates expire.",
        )


def _titles(cluster: Cluster, going: Sequence[Restoration]) -> set[str]:
    """The titles of the objects that the undo deletes, with those of Helm's releases."""
    titles = {one.title for one in going}
    for one in going:
        if one.kind == RELEASE:
            live = helm.client_for(cluster, RELEASE).get(RELEASE, one.name, one.namespace)
            titles |= deletion.goes_with(cluster, live) if live else set()
    return titles


def _losing(cluster: Cluster, going: set[str]) -> list[str]:
    """The namespaces, with the number of their pods, that no control plane of their mesh serves then."""
    found: list[str] = []
    for row in registry.MESHES.values():
        components = components_of(row, cluster)
        if components and {title(each) for each in components} <= going:
            homes = {str(each["metadata"]["namespace"]) for each in components}
            used = meshed(Snapshot(tuple(cluster.api.list(POD))), row.name, homes)
            found += [f"{name} ({count})" for name, count in sorted(used.items())]
    return found
