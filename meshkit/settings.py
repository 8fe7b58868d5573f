"""Reads the environment variables of the user and of meshkit. No other module of the library reads any."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def home() -> Path:
    """meshkit's own directory: ``$MESHKIT_HOME``, by default ``~/.meshkit``. Not created here."""
    return _path("MESHKIT_HOME") or Path.home() / ".meshkit"


def kubeconfig_files() -> tuple[Path, ...] | None:
    """The files of ``$KUBECONFIG`` in order, whether they exist or not. None where it is not set or empty."""
    given = os.environ.get("KUBECONFIG")
    if not given:
        return None
    named = [Path(path).expanduser().absolute() for path in given.split(os.pathsep) if path]
    return tuple(dict.fromkeys(named))


def default_kubeconfig() -> Path:
    """``~/.kube/config``, which kubectl reads where ``$KUBECONFIG`` is not set."""
    return Path.home() / ".kube" / "config"


def in_pod() -> bool:
    """Whether this process runs in a pod: the kubelet tells every container the API server's address."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


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


def prometheus_token_file() -> Path | None:
    """``$MESHKIT_PROMETHEUS_TOKEN_FILE``: a file with the bearer token that Prometheus wants."""
    return _path("MESHKIT_PROMETHEUS_TOKEN_FILE")


def prometheus_ca_file() -> Path | None:
    """``$MESHKIT_PROMETHEUS_CA_FILE``: the certificate authority (PEM) that Prometheus is known by."""
    return _path("MESHKIT_PROMETHEUS_CA_FILE")


def variable(name: str) -> str | None:
    """The value of an environment variable that the user named. None where it is not set."""
    return os.environ.get(name)


def child_environment(**changes: str | None) -> dict[str, str]:
    """The environment for a child process: this process's own, with changes. None removes a variable."""
    changed = {**os.environ, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _path(variable: str) -> Path | None:
    given = os.environ.get(variable)
    return Path(given).expanduser() if given else None
