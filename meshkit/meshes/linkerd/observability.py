"""Plan observability for Linkerd: its metrics, and access logs by an annotation for new pods.

Linkerd has no metrics for rejected configurations and for the validity of the trust anchor, so there are no
rules for them; ``meshkit check`` checks the anchor.
"""

from __future__ import annotations

from meshkit.facts import Need, Snapshot
from meshkit.intent.observability import Observability
from meshkit.kube.steps import Step
from meshkit.kube.workloads import workload_needs
from meshkit.meshes.base import cannot
from meshkit.meshes.linkerd.annotations import injected_namespaces, tell
from meshkit.meshes.linkerd.control_plane import NAMESPACE
from meshkit.meshes.monitoring import objects as observability
from meshkit.meshes.monitoring.scraping import ScrapeJob
from meshkit.meshes.monitoring.signals import Signals

ACCESS_LOG = "config.linkerd.io/access-log"
FORMATS = {"all": "json", "none": ""}
"""An empty annotation overrides the chart's value ``proxy.accessLog`` and disables the log."""

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
    """The kinds for scraping and, for access logs, the workloads to restart."""
    return (*observability.needs(intent), *(workload_needs(None) if intent.access_log else ()))


def plan(intent: Observability, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps for scraping, rules and dashboard, and for access logs of injected namespaces."""
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
        wanted = FORMATS[intent.access_log]
        for namespace in injected_namespaces(snapshot, "observability.access_log", "leave access_log out"):
            made += tell(namespace, "access-log", ACCESS_LOG, wanted, FORMATS["none"], snapshot)
    return tuple(made)
