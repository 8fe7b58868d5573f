"""The intent to observe a mesh: scraping, access logs, traces and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from meshkit.intent.base import Intent, Name, Part


class Alerts(Part):
    """The thresholds of alerts. Set the first two to your Services' objectives."""

    error_percent: float = Field(
        default=1, gt=0, lt=100, description="failed requests of a Service, in percent of its requests"
    )
    p99_ms: float = Field(
        default=1000, gt=0, description="what 99 % of a Service's answers stay below, in milliseconds"
    )
    min_rps: float = Field(
        default=0.1,
        ge=0,
        description="requests a second below which neither alert fires, as the sample is too small",
    )
    certificate_days: int = Field(
        default=60, ge=1, description="how long the mesh's authority must still be valid, in days"
    )
    """60 days, as in ``linkerd check`` and meshkit's own checks."""
    proxy_certificate_h: float = Field(
        default=6, gt=0, description="how long a proxy's own certificate must still be valid, in hours"
    )
    """A quarter of the 24 hours that both meshes issue; Istio's proxies renew at half of the lifetime."""


class Tracing(Part):
    """Traces by the proxies, for a share of the requests that have no sampling decision yet."""

    percent: float = Field(
        ge=0, le=100, description="the share of new traces to sample, in percent", examples=[1]
    )
    provider: str = Field(
        min_length=1,
        description="the name of a tracing provider in the mesh's extensionProviders",
        examples=["otel"],
    )


class Observability(Intent):
    """Golden signals of every Service in the mesh, alerts, a dashboard, access logs and traces.

    Requests are measured at the caller's proxy, so failures that never reached a server count too.
    """

    namespace: Name | None = Field(
        default=None,
        description="where scraping, rules and dashboard are written, or nothing for the mesh's namespace",
    )
    operator: bool | None = Field(
        default=None,
        description="true for the Prometheus operator's PodMonitor and PrometheusRule, false for a ConfigMap"
        " with Prometheus' own files, or nothing for what the cluster has",
    )
    labels: Mapping[str, str] = Field(
        default_factory=dict,
        description="labels that your Prometheus selects by, such as release: kube-prometheus-stack",
    )
    interval_s: int = Field(
        default=15, ge=1, le=60, description="seconds between two scrapes, at most 60: rates are over 5 min"
    )
    access_log: Literal["all", "errors", "none"] | None = Field(
        default=None,
        description="all requests, errors (5xx and what a proxy refused), none, or nothing to leave it"
        " as it is",
    )
    tracing: Tracing | None = Field(
        default=None, description="what proxies trace, or nothing to keep the present setting"
    )
    alerts: Alerts = Field(default=Alerts(), description="the thresholds of alerts")
