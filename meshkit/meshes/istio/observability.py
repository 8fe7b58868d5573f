"""Plan observability for Istio: its metrics, and one mesh-wide Telemetry for access logs and traces.

istiod ignores all but the oldest Telemetry without a selector in a namespace. So a second one, which would
have no effect, is rejected.
"""

from __future__ import annotations

from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Snapshot
from meshkit.intent.observability import Observability
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.meshes.istio.control_plane import NAMESPACE
from meshkit.meshes.monitoring import objects as observability
from meshkit.meshes.monitoring.scraping import ScrapeJob
from meshkit.meshes.monitoring.signals import Signals

TELEMETRY = Kind("telemetry.istio.io/v1", "Telemetry")
NAME = "mesh-default"
ACCESS_LOG_PROVIDER = "envoy"
"""The provider for standard output, which needs no configuration."""
ERRORS = "response.code >= 500 || response.flags != 0"
"""Status 5xx, or a response flag: no pod, overflow, timeout, broken connection."""

_SOURCE = 'reporter="source"'
SIGNALS = Signals(
    mesh="istio",
    namespace_label="destination_service_namespace",
    service_label="destination_service_name",
    requests=f"istio_requests_total{{{_SOURCE}}}",
    failures=(
        f'istio_requests_total{{{_SOURCE}, response_code=~"5..|0"}}',
        f'istio_requests_total{{{_SOURCE}, grpc_response_status=~"2|4|13|14|15"}}',
    ),
    latency_ms=f"istio_request_duration_milliseconds_bucket{{{_SOURCE}}}",
    # UO: more than a connection limit lets through; UH: no pod that is ready or not ejected.
    refused=f'istio_requests_total{{{_SOURCE}, response_flags=~"(.*,)?(UO|UH)(,.*)?"}}',
    refused_by=("destination_service_namespace", "destination_service_name"),
    authorities={
        "root": "(citadel_server_root_cert_expiry_timestamp > 0) - time()",
        "chain": "(citadel_server_cert_chain_expiry_timestamp > 0) - time()",
    },
    proxy_certificate='istio_agent_cert_expiry_seconds{resource_name="default"}',
    # The agent's page has its own metrics beside Envoy's; only Envoy's own port has a name.
    proxies=ScrapeJob(
        name="istio-proxies",
        container="istio-proxy",
        port="http-envoy-prom",
        path="/stats/prometheus",
        renumber=(15090, 15020),
        keep="istio_.+|envoy_server_.+",
    ),
    control_plane=ScrapeJob(
        name="istiod",
        container="discovery",
        port="http-monitoring",
        path="/metrics",
        namespace=NAMESPACE,
    ),
    rejects="pilot_total_xds_rejects",
)


def needs(intent: Observability) -> tuple[Need, ...]:
    """The kinds for scraping and, if a Telemetry is planned, the existing Telemetries."""
    telemetry = (Need(TELEMETRY, NAMESPACE),) if _spec(intent) else ()
    return (*observability.needs(intent), *telemetry)


def plan(intent: Observability, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps for scraping, rules, dashboard and, if the intent needs one, the Telemetry."""
    made = observability.steps(intent, SIGNALS, NAMESPACE, snapshot)
    spec = _spec(intent)
    if spec:
        _refuse_a_second(snapshot)
        made.append(Step(obj(TELEMETRY, NAME, NAMESPACE, spec=spec)))
    return tuple(made)


def _spec(intent: Observability) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if intent.access_log == "none":
        spec["accessLogging"] = [{"disabled": True}]
    elif intent.access_log:
        log: dict[str, Any] = {"providers": [{"name": ACCESS_LOG_PROVIDER}]}
        if intent.access_log == "errors":
            log["filter"] = {"expression": ERRORS}
        spec["accessLogging"] = [log]
    if intent.tracing:
        provider = {"name": intent.tracing.provider}
        sampling = intent.tracing.percent
        spec["tracing"] = [{"providers": [provider], "randomSamplingPercentage": sampling}]
    return spec


def _refuse_a_second(snapshot: Snapshot) -> None:
    for found in snapshot.of(TELEMETRY.kind, NAMESPACE):
        spec = found.get("spec") or {}
        name = found["metadata"]["name"]
        if name != NAME and not spec.get("selector") and not spec.get("targetRefs"):
            raise BadInput(
                "observability",
                f"Telemetry {NAMESPACE}/{name} already applies to the whole mesh, and istiod uses only one.",
                remedy="Change that one, or remove it; scraping and rules need no Telemetry.",
            )
