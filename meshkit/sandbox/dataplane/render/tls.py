"""Renders TLS for both sides of a connection: SDS references to certificates, and accepted names."""

from __future__ import annotations

from meshkit.meshes.model.outbound import Cluster, OriginTLS
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.render.style import ProxyStyle
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE

_TLS = "extensions.transport_sockets.tls.v3."
_SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"


def cluster_tls(model: Cluster, style: ProxyStyle) -> JSON:
    """Render a cluster's transport socket.

    The cluster uses mutual TLS to all, to meshed or to no endpoints, or TLS to an external server.
    """
    if isinstance(model.tls, OriginTLS):
        return {"transport_socket": _origin_tls(model.tls)}
    if model.tls == "always":
        return {"transport_socket": _upstream_tls(model, style)}
    if model.tls == "auto" and not model.as_asked:
        secured = {"name": "meshed", "match": {"meshed": True}}
        plain = {"name": "plaintext", "match": {}, "transport_socket": _raw_buffer()}
        secured["transport_socket"] = _upstream_tls(model, style)
        return {"transport_socket_matches": [secured, plain]}
    return {}


def _certificates() -> JSON:
    return {"tls_certificate_sds_secret_configs": [_sds("default")]}


def _sds(name: str) -> JSON:
    return {"name": name, "sds_config": envoy.config_source()}


def downstream_tls() -> JSON:
    """Render mutual TLS for the server side."""
    context = {**_certificates(), "validation_context_sds_secret_config": _sds("ROOTCA")}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + _TLS + "DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": context,
        },
    }


def _upstream_tls(model: Cluster, style: ProxyStyle) -> JSON:
    """Render mutual TLS for the client side, with the accepted server names."""
    names = [{"san_type": style.san_type, "matcher": {"exact": name}} for name in model.identities]
    context = {
        **_certificates(),
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names} if names else {},
            "validation_context_sds_secret_config": _sds("ROOTCA"),
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


def _raw_buffer() -> JSON:
    raw = "extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    return {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": TYPE + raw}}


def _origin_tls(model: OriginTLS) -> JSON:
    """Render TLS to a server outside the mesh, verified with a file of roots or the system's roots."""
    names = [{"san_type": "DNS", "matcher": {"exact": name}} for name in model.server_names]
    context: JSON = {}
    if model.verify:
        trusted = {"trusted_ca": {"filename": model.roots or _SYSTEM_ROOTS}}
        context["validation_context"] = {
            **trusted,
            **({"match_typed_subject_alt_names": names} if names else {}),
        }
    if model.certificate:
        pair = {
            "certificate_chain": {"filename": model.certificate},
            "private_key": {"filename": model.key},
        }
        context["tls_certificates"] = [pair]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + _TLS + "UpstreamTlsContext",
            "common_tls_context": context,
            **({"sni": model.sni} if model.sni else {}),
        },
    }
