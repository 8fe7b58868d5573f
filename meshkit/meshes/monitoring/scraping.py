"""Scrape jobs for Prometheus, rendered as a PodMonitor or as a ``scrape_configs`` entry.

A target is one container port that the mesh names. So a proxy is one target, as a container or as a native
sidecar, and a pod without a proxy is no target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshkit.facts import Kind
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import Labels

POD_MONITOR = Kind("monitoring.coreos.com/v1", "PodMonitor")

_META = "__meta_kubernetes_pod"
_CAMEL = {"source_labels": "sourceLabels", "target_label": "targetLabel"}


@dataclass(frozen=True)
class ScrapeJob:
    """A scrape job. ``container`` and ``port`` are regular expressions for names."""

    name: str
    container: str
    port: str
    path: str
    namespace: str | None = None
    """The namespace of the pods, None for every namespace."""
    renumber: tuple[int, int] | None = None
    """(named port, port to scrape instead), if the metrics port has no name."""
    keep: str | None = None
    """A regular expression for the metrics to keep: a page may include the application's own metrics."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label of the series -> label of the pod to copy it from, in Prometheus' spelling."""

    def relabelings(self) -> list[dict[str, Any]]:
        """The relabelings that select and name targets."""
        names = [f"{_META}_container_name", f"{_META}_container_port_name"]
        steps = [
            {"source_labels": names, "regex": f"({self.container});({self.port})", "action": "keep"},
            {"source_labels": [f"{_META}_phase"], "regex": "Succeeded|Failed", "action": "drop"},
        ]
        if self.renumber:
            old, new = self.renumber
            address = {"source_labels": ["__address__"], "regex": f"(.+):{old}", "replacement": f"$1:{new}"}
            steps.append({**address, "target_label": "__address__"})
        taken = {"namespace": "__meta_kubernetes_namespace", "pod": f"{_META}_name"}
        taken |= {name: f"{_META}_label_{label}" for name, label in self.labels.items()}
        steps += [{"source_labels": [source], "target_label": name} for name, source in taken.items()]
        return [*steps, {"target_label": "job", "replacement": self.name}]

    def metric_relabelings(self) -> list[dict[str, Any]]:
        """The relabelings that select series."""
        return [{"source_labels": ["__name__"], "regex": self.keep, "action": "keep"}] if self.keep else []

    def config(self, interval_s: int) -> dict[str, Any]:
        """An entry of Prometheus' ``scrape_configs``.

        Timestamps of the page are ignored: Linkerd's proxies drop idle series, which must not look current.
        """
        discovery: dict[str, Any] = {"role": "pod"}
        if self.namespace:
            discovery["namespaces"] = {"names": [self.namespace]}
        config = {
            "job_name": self.name,
            "metrics_path": self.path,
            "scrape_interval": f"{interval_s}s",
            "scrape_timeout": f"{min(10, interval_s)}s",
            "honor_timestamps": False,
            "kubernetes_sd_configs": [discovery],
            "relabel_configs": self.relabelings(),
        }
        metrics = self.metric_relabelings()
        return {**config, "metric_relabel_configs": metrics} if metrics else config

    def monitor(self, namespace: str, labels: Labels, interval_s: int) -> dict[str, Any]:
        """A PodMonitor for the Prometheus operator."""
        endpoint: dict[str, Any] = {
            "path": self.path,
            "interval": f"{interval_s}s",
            "scrapeTimeout": f"{min(10, interval_s)}s",
            "honorTimestamps": False,
            "relabelings": _camel(self.relabelings()),
        }
        if self.keep:
            endpoint["metricRelabelings"] = _camel(self.metric_relabelings())
        where = {"matchNames": [self.namespace]} if self.namespace else {"any": True}
        spec = {"selector": {}, "namespaceSelector": where, "podMetricsEndpoints": [endpoint]}
        return obj(POD_MONITOR, self.name, namespace, labels=labels, spec=spec)


def _camel(relabelings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{_CAMEL.get(key, key): value for key, value in each.items()} for each in relabelings]
