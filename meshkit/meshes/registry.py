"""The table of meshes by name. A new mesh is one more row."""

from __future__ import annotations

from meshkit.errors import UnknownName
from meshkit.meshes.base import Mesh
from meshkit.meshes.istio.mesh import ISTIO
from meshkit.meshes.linkerd.mesh import LINKERD

MESHES: dict[str, Mesh] = {row.name: row for row in (ISTIO, LINKERD)}


def mesh(name: str) -> Mesh:
    """Return a mesh by name. Raises UnknownName, which lists the known names."""
    if name not in MESHES:
        raise UnknownName("mesh", name, MESHES)
    return MESHES[name]


def root_config_maps() -> frozenset[str]:
    """The names of the ConfigMaps with the root certificates of all meshes."""
    return frozenset(row.removal.roots for row in MESHES.values())
