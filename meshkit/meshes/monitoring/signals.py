"""The PromQL selectors of a mesh's metrics, from which rules and dashboard are generated.

All metrics are from the callers' side, as for releases. The latency metrics here are in milliseconds;
Linkerd's newer metrics in seconds are too coarse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshkit.meshes.monitoring.scraping import ScrapeJob

WINDOW = "5m"


@dataclass(frozen=True)
class Signals:
    """The metrics of one mesh, as complete selectors: ``response_total{direction="outbound"}``."""

    mesh: str
    namespace_label: str
    service_label: str
    requests: str
    failures: tuple[str, ...]
    """Selectors of failed requests; a request that several of them match is counted once."""
    latency_ms: str
    """The histogram's buckets."""
    refused: str
    refused_by: tuple[str, str]
    """The labels of ``refused`` with namespace and Service."""
    authorities: Mapping[str, str]
    """The remaining validity of the mesh's CA certificates in seconds, by name."""
    proxy_certificate: str
    """The remaining validity of each proxy's certificate in seconds."""
    proxies: ScrapeJob
    control_plane: ScrapeJob
    rejects: str | None = None
    """A counter of configurations that proxies rejected, or None if the mesh has none."""

    def rate(self, selector: str, by: tuple[str, str] | None = None, *more: str) -> str:
        """Requests per second by ``namespace`` and ``service``, with the same labels for every mesh."""
        return self.of_service(f"rate({selector}[{WINDOW}])", by, *more)

    def failure_rate(self) -> str:
        """Failed requests per second; zero, and not absent, if there were requests and none failed."""
        found = " or ".join(f"rate({selector}[{WINDOW}])" for selector in self.failures)
        return f"{self.of_service(found)} or 0 * {self.rate(self.requests)}"

    def of_service(self, rates: str, by: tuple[str, str] | None = None, *more: str) -> str:
        """Rates summed by Service, with the same labels for every mesh."""
        names = dict(
            zip(("namespace", "service"), by or (self.namespace_label, self.service_label), strict=True)
        )
        inner = f"sum by ({', '.join((*names.values(), *more))}) ({rates})"
        for name, label in names.items():
            inner = f'label_replace({inner}, "{name}", "$1", "{label}", "(.*)")'
        return f"sum by ({', '.join((*names, *more))}) ({inner})"
