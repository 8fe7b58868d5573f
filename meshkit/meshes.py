"""The one table of meshes: name -> how to plan for it and how to measure it. A new mesh is one line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit import settings
from meshkit.errors import UnknownName
from meshkit.observe import istio as istio_metrics
from meshkit.observe import linkerd as linkerd_metrics
from meshkit.planners import istio, linkerd

if TYPE_CHECKING:
    from meshkit.observe.counters import Observer
    from meshkit.observe.scrape import ScrapeObserver
    from meshkit.planners.base import MeshPlanner


@dataclass(frozen=True)
class Mesh:
    """What meshkit needs to know about one mesh."""

    name: str
    planner: MeshPlanner
    scraper: ScrapeObserver

    @property
    def observer(self) -> Observer:
        """Where its measurements come from: Prometheus where one is named in the settings, else the sidecars'
        own pages. Raises BadInput where the settings name a Prometheus that cannot be asked.
        """
        url = settings.prometheus()
        if url is None:
            return self.scraper
        from meshkit.observe.prometheus import PrometheusObserver

        return PrometheusObserver(
            self.scraper.table,
            url,
            token_file=settings.prometheus_token_file(),
            ca_file=settings.prometheus_ca_file(),
        )


MESHES = {
    found.name: found
    for found in (
        Mesh("istio", istio.PLANNER, istio_metrics.OBSERVER),
        Mesh("linkerd", linkerd.PLANNER, linkerd_metrics.OBSERVER),
    )
}


def mesh(name: str) -> Mesh:
    """The mesh of that name. Raises UnknownName, which lists the known ones."""
    if name not in MESHES:
        raise UnknownName("mesh", name, MESHES)
    return MESHES[name]
