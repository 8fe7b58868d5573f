"""The one table of meshes, by name. A new mesh is one row here."""

from __future__ import annotations

from meshkit.errors import UnknownName
from meshkit.meshes.base import Mesh
from meshkit.meshes.istio.mesh import ISTIO
from meshkit.meshes.linkerd.mesh import LINKERD

MESHES: dict[str, Mesh] = {row.name: row for row in (ISTIO, LINKERD)}


def mesh(name: str) -> Mesh:
    """The mesh of that name. Raises UnknownName, which lists the known ones."""
    if name not in MESHES:
        raise UnknownName("mesh", name, MESHES)
    return MESHES[name]


def root_config_maps() -> frozenset[str]:
    """The ConfigMaps in which control planes of any mesh keep the roots that proxies trust."""
    return frozenset(row.removal.roots for row in MESHES.values())
