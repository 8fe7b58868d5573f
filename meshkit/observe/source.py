"""Select the source of a mesh's measurements: Prometheus or the sidecars' pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshkit import settings
from meshkit.meshes import registry
from meshkit.observe.scrape import ScrapeObserver

if TYPE_CHECKING:
    from meshkit.observe.counters import Observer


def observer(mesh: str, prometheus: str | None = None, *, injected: bool = False) -> Observer:
    """The observer for a mesh: the given Prometheus URL, else that of the settings, else the sidecars.

    With ``injected``, errors that callers' proxies were told to inject count as failed, without a version.
    Raises UnknownName for an unknown mesh and BadInput for an unsuitable Prometheus URL.
    """
    table = registry.mesh(mesh).metrics
    if injected:
        unreached = table.unreached
        patterns = (*unreached.any_of, *unreached.injected)
        table = replace(table, unreached=unreached._replace(any_of=patterns))
    url = prometheus or settings.prometheus()
    if url is None:
        return ScrapeObserver(table)
    from meshkit.observe.prometheus import PrometheusObserver

    return PrometheusObserver(
        table, url, token_file=settings.prometheus_token_file(), ca_file=settings.prometheus_ca_file()
    )
