"""Where meshkit keeps its files. The only module that reads meshkit's environment variables."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def home() -> Path:
    """meshkit's own directory: ``$MESHKIT_HOME``, by default ``~/.meshkit``. Not created here."""
    given = os.environ.get("MESHKIT_HOME")
    return Path(given).expanduser() if given else Path.home() / ".meshkit"


def docs() -> str:
    """Where links to the documentation lead: ``$MESHKIT_DOCS``, a URL or a path. By default ``../docs``, as
    notebooks and runbooks of a checkout see it.
    """
    return os.environ.get("MESHKIT_DOCS", "../docs").rstrip("/")


def helm() -> str | None:
    """The Helm to run: ``$MESHKIT_HELM``, else the one on PATH, else None."""
    return os.environ.get("MESHKIT_HELM") or shutil.which("helm")


def prometheus() -> str | None:
    """The Prometheus to ask for measurements: ``$MESHKIT_PROMETHEUS``, a URL. None: ask the sidecars."""
    return os.environ.get("MESHKIT_PROMETHEUS") or None


def use_prometheus(url: str) -> None:
    """Ask this Prometheus from now on, in this process and in those it starts (a detached release)."""
    os.environ["MESHKIT_PROMETHEUS"] = url


def prometheus_token_file() -> Path | None:
    """``$MESHKIT_PROMETHEUS_TOKEN_FILE``: a file with the bearer token that Prometheus wants."""
    return _path("MESHKIT_PROMETHEUS_TOKEN_FILE")


def prometheus_ca_file() -> Path | None:
    """``$MESHKIT_PROMETHEUS_CA_FILE``: the certificate authority (PEM) that Prometheus is known by."""
    return _path("MESHKIT_PROMETHEUS_CA_FILE")


def _path(variable: str) -> Path | None:
    given = os.environ.get(variable)
    return Path(given).expanduser() if given else None
