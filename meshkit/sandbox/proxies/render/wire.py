"""The small parts of Envoy's JSON: type URLs, durations, shares, addresses, filters, TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshkit.sandbox.proxies import envoy
from meshkit.sandbox.proxies.model import Cluster, Fault, StringMatch
from meshkit.sandbox.proxies.poddir import secret_sources

JSON = dict[str, Any]
TYPE = "type.googleapis.com/envoy."
_HTTP = "extensions.filters.http."
_TLS = "extensions.transport_sockets.tls.v3."


def socket(address: str, port: int) -> JSON:
    """An address and port."""
    return {"socket_address": {"address": address, "port_value": port}}


def seconds(duration_s: float) -> str:
    """A duration in JSON's protobuf form, at most to the microsecond."""
    return f"{duration_s:.6f}".rstrip("0").rstrip(".") + "s"


def percent(share: float) -> JSON:
    """A share, exact to a ten-thousandth of a percent."""
    return {"numerator": round(share * 10_000), "denominator": "MILLION"}


def string_match(model: StringMatch) -> JSON:
    """A condition on a text."""
    if model.kind == "regex":
        return {"safe_regex": {"regex": model.value}}
    if model.kind == "present":
        return {"safe_regex": {"regex": ".+"}}
    return {model.kind: model.value, **({"ignore_case": True} if model.ignore_case else {})}


def http_filter(name: str, message: str, **fields: Any) -> JSON:
    """An HTTP filter and its settings."""
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": TYPE + _HTTP + message, **fields},
    }


def fault(model: Fault) -> JSON:
    """The settings of the fault filter: empty in the chain, filled in a route."""
    rendered: JSON = {"@type": TYPE + _HTTP + "fault.v3.HTTPFault"}
    if model.delay_s:
        rendered["delay"] = {
            "fixed_delay": seconds(model.delay_s),
            "percentage": percent(model.delay_percent),
        }
    if model.abort_status:
        rendered["abort"] = {"http_status": model.abort_status, "percentage": percent(model.abort_percent)}
    return rendered


def _certificates(pod_dir: Path) -> JSON:
    certificate, _ = secret_sources(pod_dir)
    return {"tls_certificate_sds_secret_configs": [_sds("default", certificate)]}


def _sds(name: str, path: Path) -> JSON:
    return {"name": name, "sds_config": envoy.file_source(path)}


def downstream_tls(pod_dir: Path) -> JSON:
    """Mutual TLS on the answering side."""
    _, root = secret_sources(pod_dir)
    context = {**_certificates(pod_dir), "validation_context_sds_secret_config": _sds("ROOTCA", root)}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + _TLS + "DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": context,
        },
    }


def upstream_tls(model: Cluster, pod_dir: Path, mesh: str) -> JSON:
    """Mutual TLS on the calling side, with the only server names it accepts."""
    _, root = secret_sources(pod_dir)
    kind = "URI" if mesh == "istio" else "DNS"
    names = [{"san_type": kind, "matcher": {"exact": name}} for name in model.identities]
    context = {
        **_certificates(pod_dir),
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names} if names else {},
            "validation_context_sds_secret_config": _sds("ROOTCA", root),
        },
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + _TLS + "UpstreamTlsContext",
            "sni": model.name.rpartition("|")[2],
            "common_tls_context": context,
        },
    }


def raw_buffer() -> JSON:
    """No TLS."""
    raw = "extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    return {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": TYPE + raw}}
