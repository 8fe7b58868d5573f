"""The files of a pod's directory: where its Envoy, its application and its control plane meet.

bootstrap.json  lds.json  cds.json  eds.json  rds.json
token  sds-cert.json  sds-root.json  proxy.json  config.sock  app-<port>.sock
"""

from __future__ import annotations

from pathlib import Path

TOKEN_FILE = "token"
"""The token of the pod's ServiceAccount."""


def introduction(pod_dir: Path) -> Path:
    """What a pod's proxy says of itself to whom it asks for a certificate: its mesh, and the roots that it
    was told to trust.
    """
    return pod_dir / "proxy.json"


def app_socket(pod_dir: Path, port: int) -> str:
    """Where the application of a captured port listens."""
    return str(pod_dir / f"app-{port}.sock")


def config_socket(pod_dir: Path) -> Path:
    """Where the pod's Envoy asks for its configuration."""
    return pod_dir / "config.sock"


def secret_sources(pod_dir: Path) -> tuple[Path, Path]:
    """The SDS files of a pod: its own certificate and key, and the roots it trusts."""
    return pod_dir / "sds-cert.json", pod_dir / "sds-root.json"
