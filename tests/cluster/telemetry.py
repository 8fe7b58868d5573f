"""Istio's metrics from an Envoy that is not Istio's: its access logger counts, a script gives Istio's names.

Istio's proxy counts requests in a filter that only its own build has. Envoy's access logger ``stats`` counts
with labels from what an access log may contain. An EnvoyFilter adds that logger to every connection manager;
``metrics_page.lua``, in the bootstrap of the proxies' image, rewrites the page of metrics.

So a reader of the page meets Istio's names and labels, with values from real routing. What the logger cannot
know is not there: TCP metrics, and the caller's workload on the server's side.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshkit.facts import Kind

ENVOY_FILTER, NAME = Kind("networking.istio.io/v1alpha3", "EnvoyFilter"), "count-requests"
TYPE = "type.googleapis.com/envoy.extensions"
MANAGER = "envoy.filters.network.http_connection_manager"
PREFIX = "istiocustom"
"""The statistics prefix of Istio's own filter, which the annotation with the histograms' buckets names."""
PAGE = Path(__file__).with_name("metrics_page.lua")

ALWAYS = {
    "grpc_response_status": "%GRPC_STATUS_NUMBER%",
    "request_protocol": "http",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
}
OUTBOUND = {
    "connection_security_policy": "unknown",
    "reporter": "source",
    "source_workload": "%ENVIRONMENT(ISTIO_META_WORKLOAD_NAME)%",
    "source_workload_namespace": "%ENVIRONMENT(POD_NAMESPACE)%",
    "to_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "to_workload": "%UPSTREAM_METADATA(istio:workload)%",
}
INBOUND = {
    "destination_version": "%RESP(X-VERSION)%",
    "destination_workload": "%ENVIRONMENT(ISTIO_META_WORKLOAD_NAME)%",
    "destination_workload_namespace": "%ENVIRONMENT(POD_NAMESPACE)%",
    "from_identity": "%DOWNSTREAM_PEER_URI_SAN%",
    "reporter": "destination",
    "source_workload": "unknown",
    "to_host": "%REQ(:AUTHORITY)%",
}
"""Labels by name; ``to_`` and ``from_`` are those that ``metrics_page.lua`` turns into Istio's."""

CHART_VALUES: dict[str, Any] = {
    "env": {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"},
    "telemetry": {"enabled": False},
    "meshConfig": {
        "defaultConfig": {"concurrency": 1, "proxyStatsMatcher": {"inclusionPrefixes": [PREFIX]}},
    },
    "global": {"proxy": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}},
}
"""For istiod's chart: none of the filters that this Envoy has not, and the logger's counters on the page."""


def envoy_filter(namespace: str) -> dict[str, Any]:
    """The EnvoyFilter that makes every proxy of the mesh count requests."""
    patches = [_patch("SIDECAR_OUTBOUND", OUTBOUND), _patch("SIDECAR_INBOUND", INBOUND)]
    return {
        "apiVersion": ENVOY_FILTER.api_version,
        "kind": ENVOY_FILTER.kind,
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"configPatches": patches},
    }


def with_istio_names(template: str) -> str:
    """Istio's bootstrap template, whose listener of metrics rewrites the page before it is sent."""
    script = {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": f"{TYPE}.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": PAGE.read_text()},
        },
    }
    listener = template.index('"stat_prefix": "stats"')
    router = template.index('"name": "envoy.filters.http.router"', listener)
    filter_start = template.rindex("{", 0, router)
    text = json.dumps(script).replace("}}", "} }")
    assert "{{" not in text, "Go's template would read what is between double braces"
    return f"{template[:filter_start]}{text},\n{template[filter_start:]}"


def _patch(context: str, labels: dict[str, str]) -> dict[str, Any]:
    def stat(name: str) -> dict[str, Any]:
        tags = [{"name": key, "value_format": value} for key, value in sorted({**ALWAYS, **labels}.items())]
        return {"name": name, "tags": tags}

    duration = {"stat": stat("istio_request_duration_milliseconds"), "unit": "Milliseconds"}
    logger = {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": f"{TYPE}.access_loggers.stats.v3.Config",
            "stat_prefix": PREFIX,
            "counters": [{"stat": stat("istio_requests_total"), "value_fixed": 1}],
            "histograms": [{**duration, "value_format": "%DURATION%"}],
        },
    }
    manager = {"@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"}
    chain = {"filterChain": {"filter": {"name": MANAGER}}}
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": chain},
        "patch": {
            "operation": "MERGE",
            "value": {"name": MANAGER, "typed_config": {**manager, "access_log": [logger]}},
        },
    }
