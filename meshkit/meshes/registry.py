"""The one table of meshes: name -> how to plan for it and how to measure it. A new mesh is one row here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.errors import UnknownName
from meshkit.meshes.istio import metrics as istio_metrics
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.istio.checks import table as istio_checks
from meshkit.meshes.linkerd import metrics as linkerd_metrics
from meshkit.meshes.linkerd import planner as linkerd
from meshkit.meshes.linkerd.checks import table as linkerd_checks

if TYPE_CHECKING:
    from meshkit.meshes.base import MeshPlanner
    from meshkit.meshes.checks import MeshChecks
    from meshkit.meshes.metrics import MetricTable


@dataclass(frozen=True)
class Mesh:
    """What meshkit needs to know about one mesh."""

    name: str
    planner: MeshPlanner
    metrics: MetricTable
    checks: MeshChecks


MESHES: dict[str, Mesh] = {
    found.name: found
    for found in (
        Mesh("istio", istio.PLANNER, istio_metrics.METRICS, istio_checks.CHECKS),
        Mesh("linkerd", linkerd.PLANNER, linkerd_metrics.METRICS, linkerd_checks.CHECKS),
    )
}


def mesh(name: str) -> Mesh:
    """The mesh of that name. Raises UnknownName, which lists the known ones."""
    if name not in MESHES:
        raise UnknownName("mesh", name, MESHES)
    return MESHES[name]
