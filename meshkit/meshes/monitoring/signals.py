"""What a mesh's metrics are called, in PromQL: the one table that rules and dashboard are made from.

Everything is counted on the callers' side, as a release is judged. Both meshes measure latency in
milliseconds in the metrics named here; Linkerd's newer families in seconds are too coarse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshkit.meshes.monitoring.scraping import ScrapeJob

WINDOW = "5m"


@dataclass(frozen=True)
class Signals:
    """One mesh's metrics. Selectors are whole, such as ``response_total{direction="outbound"}``."""

    mesh: str
    namespace_label: str
    service_label: str
    requests: str
    failures: tuple[str, ...]
    """Selectors of failed requests; a request that several of them find is counted once."""
    latency_ms: str
    """The histogram's buckets."""
    refused: str
    refused_by: tuple[str, str]
    """The labels that name namespace and Service of ``refused``."""
    authorities: Mapping[str, str]
    """Seconds that a certificate of the mesh's authority is still valid, by its name."""
    proxy_certificate: str
    """Seconds that each proxy's certificate is still valid."""
    proxies: ScrapeJob
    control_plane: ScrapeJob
    rejects: str | None = None
    """A counter of configurations that proxies refused, or None where the mesh has none."""

    def rate(self, selector: str, by: tuple[str, str] | None = None, *more: str) -> str:
        """Requests a second for each ``namespace`` and ``service``, whatever the mesh calls them."""
        return self.of_service(f"rate({selector}[{WINDOW}])", by, *more)

    def failure_rate(self) -> str:
        """Failed requests a second; zero, not nothing, where requests were made and none failed."""
        found = " or ".join(f"rate({selector}[{WINDOW}])" for selector in self.failures)
        return f"{self.of_service(found)} or 0 * {self.rate(self.requests)}"

    def of_service(self, rates: str, by: tuple[str, str] | None = None, *more: str) -> str:
        """Rates summed over everything but the Service, under labels that all meshes share."""
        names = dict(
            zip(("namespace", "service"), by or (self.namespace_label, self.service_label), strict=True)
        )
        inner = f"sum by ({', '.join((*names.values(), *more))}) ({rates})"
        for name, label in names.items():
            inner = f'label_replace({inner}, "{name}", "$1", "{label}", "(.*)")'
        return f"sum by ({', '.join((*names, *more))}) ({inner})"
