"""Recording and alert rules for Prometheus. They are the same for every mesh, based on different metrics.

Recorded series are named ``level:metric:operation``, as Prometheus recommends, and have the label ``mesh``,
so that two meshes can share one Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshkit.intent.observability import Alerts
from meshkit.meshes.monitoring.signals import WINDOW, Signals

REQUESTS = "namespace_service:mesh_requests:rate5m"
FAILURES = "namespace_service:mesh_failures:rate5m"
FAILURE_RATIO = "namespace_service:mesh_failures:ratio_rate5m"
BUCKETS = "namespace_service_le:mesh_latency_ms_bucket:rate5m"
LATENCY = "namespace_service:mesh_latency_ms:p{percent}_rate5m"
REFUSED = "namespace_service:mesh_refused:rate5m"
AUTHORITY = "certificate:mesh_authority_valid_seconds:min"
PERCENTILES = (50, 95, 99)
DAY_S = 86400
LAST_DAYS = 7
"""The remaining validity of a CA, in days, from which its alert is critical."""

Rule = dict[str, Any]


def groups(signals: Signals, alerts: Alerts) -> list[dict[str, Any]]:
    """The rule groups of a mesh, for a rule file or a PrometheusRule."""
    prefix = f"meshkit-{signals.mesh}"
    return [
        {"name": f"{prefix}-golden-signals", "rules": list(recordings(signals))},
        {"name": f"{prefix}-services", "rules": list(_services(signals, alerts))},
        {"name": f"{prefix}-mesh", "rules": list(_mesh(signals, alerts))},
    ]


def recordings(signals: Signals) -> Iterator[Rule]:
    """The golden signals of each Service: traffic, errors, latency in ms, and saturation."""
    labels = {"mesh": signals.mesh}
    mine = f'{{mesh="{signals.mesh}"}}'

    def record(name: str, expr: str) -> Rule:
        return {"record": name, "expr": expr, "labels": dict(labels)}

    yield record(REQUESTS, signals.rate(signals.requests))
    yield record(FAILURES, signals.failure_rate())
    yield record(FAILURE_RATIO, f"{FAILURES}{mine} / ({REQUESTS}{mine} > 0)")
    yield record(BUCKETS, signals.rate(signals.latency_ms, None, "le"))
    for percent in PERCENTILES:
        quantile = f"histogram_quantile({percent / 100:g}, {BUCKETS}{mine})"
        yield record(LATENCY.format(percent=percent), quantile)
    yield record(REFUSED, signals.rate(signals.refused, signals.refused_by))
    named = (
        f'label_replace(min({expr}), "certificate", "{name}", "", "")'
        for name, expr in signals.authorities.items()
    )
    yield record(AUTHORITY, " or ".join(named))


def _services(signals: Signals, alerts: Alerts) -> Iterator[Rule]:
    mine = f'{{mesh="{signals.mesh}"}}'
    busy = f"and on (namespace, service) {REQUESTS}{mine} > {alerts.min_rps:g}"
    service = "{{ $labels.namespace }}/{{ $labels.service }}"
    yield _alert(
        "MeshServiceFailing",
        f"{FAILURE_RATIO}{mine} > {alerts.error_percent / 100:g} {busy}",
        "2m",
        "critical",
        f"{{{{ $value | humanizePercentage }}}} of the requests to {service} fail",
        "Callers count these: some may never have reached a pod. Is a release under way?",
    )
    yield _alert(
        "MeshServiceSlow",
        f"{LATENCY.format(percent=99)}{mine} > {alerts.p99_ms:g} {busy}",
        "5m",
        "warning",
        f"99 % of the answers of {service} take up to {{{{ $value | humanize }}}} ms",
        "Measured where callers are: waiting for a connection is in it.",
    )
    yield _alert(
        "MeshRequestsRefused",
        f"{REFUSED}{mine} > 0",
        "5m",
        "warning",
        f"proxies refuse {{{{ $value | humanize }}}} requests a second to {service}: no pod has room",
        "Look at its connection limits, at ejected pods, and at how many pods are ready.",
    )


def _mesh(signals: Signals, alerts: Alerts) -> Iterator[Rule]:
    mine = f'{{mesh="{signals.mesh}"}}'
    proxies, control_plane = signals.proxies.name, signals.control_plane.name
    if signals.rejects:
        yield _alert(
            "MeshConfigRejected",
            _raised(signals.rejects),
            "0m",
            "critical",
            "proxies refuse configuration that the control plane sends",
            "They keep the last one they took. The control plane's log names the resource.",
        )
    for severity, days in (("warning", alerts.certificate_days), ("critical", LAST_DAYS)):
        yield _alert(
            "MeshAuthorityExpiring",
            f"{AUTHORITY}{mine} < {days * DAY_S}",
            "10m",
            severity,
            "the mesh's certificate {{ $labels.certificate }} ends in {{ $value | humanizeDuration }}",
            "When it ends no connection is proven any more. Rotate it; meshkit check names it.",
        )
    yield _alert(
        "MeshProxyCertificateNotRenewed",
        f"{signals.proxy_certificate} < {alerts.proxy_certificate_h * 3600:g}",
        "10m",
        "critical",
        "a proxy's certificate of {{ $labels.namespace }}/{{ $labels.pod }} ends in "
        "{{ $value | humanizeDuration }}",
        "It should have been renewed long ago: can the proxy reach the control plane?",
    )
    yield _alert(
        "MeshProxyUnseen",
        f'up{{job="{proxies}"}} == 0',
        "10m",
        "warning",
        "the proxy of {{ $labels.namespace }}/{{ $labels.pod }} cannot be scraped",
        "Its requests are in no signal. Is its pod ready, and may Prometheus reach it?",
    )
    for name, gone, what in (
        ("MeshUnseen", f'absent(up{{job="{proxies}"}})', "no proxy of the mesh is scraped"),
        ("MeshControlPlaneUnseen", f'absent(up{{job="{control_plane}"}} == 1)', "no control plane answers"),
    ):
        remedy = "No data is no good news: every other alert here is silent meanwhile."
        yield _alert(name, gone, "5m", "critical", f"{what} ({signals.mesh})", remedy)


def _raised(counter: str) -> str:
    """Where a counter increased, including new series, which increase() does not see."""
    new = f"({counter} unless {counter} offset {WINDOW}) > 0"
    return f"sum by (type) (increase({counter}[{WINDOW}]) > 0 or {new})"


def _alert(name: str, expr: str, lasting: str, severity: str, summary: str, description: str) -> Rule:
    return {
        "alert": name,
        "expr": expr,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }
