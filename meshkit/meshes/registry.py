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


def own_config_maps() -> frozenset[str]:
    """The names of the ConfigMaps that control planes write for themselves and for proxies, of all meshes."""
    marks = [row.removal for row in MESHES.values()]
    written = (name for each in marks for kind, name in each.written if kind == "ConfigMap")
    return frozenset([*written, *(name for each in marks for name in (each.roots, *each.copied))])


def writers() -> frozenset[str]:
    """The field managers of all control planes."""
    return frozenset(writer for row in MESHES.values() for writer in row.control_plane.writers)
