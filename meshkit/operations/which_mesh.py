"""Which mesh an operation works on: the one that the caller names, or the only one that the cluster has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, Forbidden
from meshkit.facts import Need, Object, Snapshot
from meshkit.kube.kinds import DEPLOYMENT, MUTATING_WEBHOOK, POD
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh

_NAME_ONE = "Name one with --mesh, in Python with mesh= or mk.connect(mesh=...)."


def mesh_of(cluster: Cluster, mesh: str | None = None, namespaces: Iterable[str] = ()) -> str:
    """The name of the mesh that ``mesh`` says, else that ``cluster`` was bound to, else that the cluster has.

    Where the account may not look for control planes, it is the mesh of the proxies in ``namespaces``.
    Raises ``UnknownName`` for a name without a mesh before any request is made, and ``BadInput`` of the field
    ``mesh`` where no name was given and the cluster has no mesh, has several, or may not be asked.
    """
    if mesh is not None:
        return registry.mesh(mesh).name
    if cluster.mesh is not None:
        return registry.mesh(cluster.mesh).name
    try:
        found = installed_meshes(cluster)
    except Forbidden as error:
        proxied = _with_proxies(cluster, namespaces)
        if len(proxied) == 1:
            return proxied[0]
        problem = f"none is named, and this account may not see which one cluster {cluster} has."
        raise BadInput("mesh", problem, remedy=_remedy()) from error
    if not found:
        raise BadInput("mesh", f"none is named, and cluster {cluster} has none.", remedy=_remedy())
    if len(found) > 1:
        problem = f"none is named, and cluster {cluster} has {' and '.join(found)}."
        raise BadInput("mesh", problem, remedy=_NAME_ONE)
    return found[0]


def named_mesh(*names: str | None) -> str | None:
    """The first of these names that is not None; None where all are. Raises ``UnknownName``."""
    for name in names:
        if name is not None:
            return registry.mesh(name).name
    return None


def required_mesh(mesh: str | None) -> str:
    """The mesh of that name, for an operation that asks no cluster. Raises ``BadInput`` where it is None."""
    if mesh is None:
        raise BadInput("mesh", "none is named, and no cluster is asked for one.", remedy=_remedy())
    return registry.mesh(mesh).name


def installed_meshes(cluster: Cluster) -> tuple[str, ...]:
    """The meshes of which a cluster holds a component of the control plane or an injection webhook."""
    hooks = Snapshot(tuple(cluster.api.list(MUTATING_WEBHOOK)))
    return tuple(row.name for row in registry.MESHES.values() if _is_installed(row, cluster, hooks))


def components_of(row: Mesh, cluster: Cluster) -> Sequence[Object]:
    """The Deployments of a mesh's control planes, of every revision."""
    facts = row.control_plane
    selector = f"{facts.component_label} in ({','.join(facts.components)})"
    return cluster.api.list(DEPLOYMENT, labels=selector)


def _with_proxies(cluster: Cluster, namespaces: Iterable[str]) -> list[str]:
    """The meshes whose proxies run in these namespaces, as far as their pods may be read."""
    seen = snapshot.read(cluster, [Need(POD, name, optional=True) for name in dict.fromkeys(namespaces)])
    return [row.name for row in registry.MESHES.values() if row.injection.proxies(seen.objects)]


def home_of(cluster: Cluster, row: Mesh) -> str:
    """The namespace of the control plane, the usual one if it cannot be seen."""
    try:
        found = components_of(row, cluster)
    except Forbidden:
        found = []
    return next((str(each["metadata"]["namespace"]) for each in found), row.control_plane.home)


def _is_installed(row: Mesh, cluster: Cluster, hooks: Snapshot) -> bool:
    return any(row.injection.webhooks(hooks)) or bool(components_of(row, cluster))


def _remedy() -> str:
    return f"{_NAME_ONE} Known: {', '.join(sorted(registry.MESHES))}."
