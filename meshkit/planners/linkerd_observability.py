"""Linkerd seen: its metrics, and access logs by an annotation that holds for new pods.

No metric of Linkerd tells that a proxy refused a configuration, nor how long the trust anchor is valid:
there is no rule for either, and ``meshkit check`` looks at the anchor.
"""

from __future__ import annotations

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.observability import Observability
from meshkit.planners import kubernetes as k8s
from meshkit.planners import observability
from meshkit.planners.base import Need, cannot
from meshkit.planners.injected import runs_sidecar
from meshkit.planners.linkerd_control_plane import INJECT, NAMESPACE
from meshkit.planners.scraping import ScrapeJob
from meshkit.planners.signals import Signals
from meshkit.planners.steps import Step

ACCESS_LOG = "config.linkerd.io/access-log"
FORMATS = {"all": "json", "none": ""}
"""An empty annotation wins over the chart's value ``proxy.accessLog``, and is no log."""

_OUTBOUND = 'direction="outbound", dst_service!=""'
SIGNALS = Signals(
    mesh="linkerd",
    namespace_label="dst_namespace",
    service_label="dst_service",
    requests=f"response_total{{{_OUTBOUND}}}",
    failures=(f'response_total{{{_OUTBOUND}, classification="failure"}}',),
    latency_ms=f"response_latency_ms_bucket{{{_OUTBOUND}}}",
    refused='outbound_http_route_backend_response_statuses_total{error=~"FAIL_FAST|LOAD_SHED"}',
    refused_by=("backend_namespace", "backend_name"),
    authorities={"issuer": "issuer_cert_ttl_seconds"},
    # Older proxies have the name without control_.
    proxy_certificate='{__name__=~"(control_)?identity_cert_expiration_timestamp_seconds"} - time()',
    proxies=ScrapeJob(
        name="linkerd-proxies",
        container="linkerd-proxy",
        port="linkerd-admin",
        path="/metrics",
        labels={"deployment": "linkerd_io_proxy_deployment"},
    ),
    control_plane=ScrapeJob(
        name="linkerd-control-plane",
        container="identity|destination|policy|proxy-injector|sp-validator",
        port=".*admin.*",
        path="/metrics",
        namespace=NAMESPACE,
    ),
)


def needs(intent: Observability) -> tuple[Need, ...]:
    """What the cluster has to scrape with, and for access logs the workloads that must restart."""
    return (*observability.needs(intent), *(k8s.workload_needs(None) if intent.access_log else ()))


def plan(intent: Observability, snapshot: Snapshot) -> tuple[Step, ...]:
    """Scraping, rules, dashboard; for access logs the injected namespaces, and their workloads restart."""
    if intent.tracing:
        instead = (
            "Decide where requests enter, at the ingress or in the application: Linkerd's proxies trace the"
            " requests whose headers ask for it, if its chart was told a collector (proxy.tracing)."
        )
        raise cannot("Linkerd", Observability, "tracing", instead)
    if intent.access_log == "errors":
        raise cannot("Linkerd", Observability, "access_log: errors", "Log all requests, or none.")
    made = observability.steps(intent, SIGNALS, NAMESPACE, snapshot)
    if intent.access_log:
        made += _access_logs(FORMATS[intent.access_log], snapshot)
    return tuple(made)


def _access_logs(wanted: str, snapshot: Snapshot) -> list[Step]:
    injected = [
        str(namespace["metadata"]["name"])
        for namespace in snapshot.of("Namespace")
        if _annotation(namespace, INJECT) == "enabled"
    ]
    if not injected:
        raise BadInput(
            "observability.access_log",
            "no namespace is injected by Linkerd yet, so there is nothing it could hold for.",
            remedy="Enable injection first, or leave access_log out.",
        )
    made: list[Step] = []
    for name in injected:
        made.append(k8s.namespace_part(name, "access-log", annotations={ACCESS_LOG: wanted}))
        made += [
            k8s.restart(deployment)
            for deployment in snapshot.of("Deployment", name)
            if any(_logs_otherwise(pod, wanted) for pod in k8s.pods_of(deployment, snapshot))
        ]
    return made


def _logs_otherwise(pod: Object, wanted: str) -> bool:
    """Whether a meshed pod was made when something else was asked of it. Silence is no log."""
    return runs_sidecar(pod, "linkerd") and (_annotation(pod, ACCESS_LOG) or "") != wanted


def _annotation(obj: Object, name: str) -> str | None:
    value: str | None = (obj["metadata"].get("annotations") or {}).get(name)
    return value
