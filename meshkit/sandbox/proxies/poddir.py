"""The files of a pod's directory: where its Envoy, its application and its control plane meet.

bootstrap.json  lds.json  cds.json  eds.json  rds.json
sds-cert.json  sds-root.json  config.sock  app-<port>.sock
"""

from __future__ import annotations

from pathlib import Path


def app_socket(pod_dir: Path, port: int) -> str:
    """Where the application of a captured port listens."""
    return str(pod_dir / f"app-{port}.sock")


def config_socket(pod_dir: Path) -> Path:
    """Where the pod's Envoy asks for its configuration."""
    return pod_dir / "config.sock"


def secret_sources(pod_dir: Path) -> tuple[Path, Path]:
    """The SDS files of a pod: its own certificate and key, and the roots it trusts."""
    return pod_dir / "sds-cert.json", pod_dir / "sds-root.json"
