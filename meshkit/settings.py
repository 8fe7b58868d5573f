"""Access to environment variables. No other module of the library reads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from meshkit.errors import BadInput


def home() -> Path:
    """meshkit's data directory: ``$MESHKIT_HOME``, by default ``~/.meshkit``. It is not created here."""
    return _path("MESHKIT_HOME") or _of_user() / ".meshkit"


def kubeconfig_files() -> tuple[Path, ...] | None:
    """The files of ``$KUBECONFIG`` in order, whether they exist or not. None if it is unset or empty."""
    given = os.environ.get("KUBECONFIG")
    if not given:
        return None
    named = [expanded("KUBECONFIG", path).absolute() for path in given.split(os.pathsep) if path]
    return tuple(dict.fromkeys(named))


def default_kubeconfig() -> Path:
    """``~/.kube/config``, which kubectl reads if ``$KUBECONFIG`` is not set."""
    return _of_user() / ".kube" / "config"


def in_pod() -> bool:
    """Whether this process runs in a pod: the kubelet sets the API server's address in every container."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def docs() -> str:
    """The base of links to the documentation: ``$MESHKIT_DOCS``, a URL or a path.

    The default is ``../docs``, relative to the notebooks and runbooks of a checkout.
    """
    return os.environ.get("MESHKIT_DOCS", "../docs").rstrip("/")


def helm() -> str | None:
    """The Helm program to run: ``$MESHKIT_HELM``, else the one on PATH, else None."""
    return os.environ.get("MESHKIT_HELM") or shutil.which("helm")


def prometheus() -> str | None:
    """The URL of the Prometheus to query: ``$MESHKIT_PROMETHEUS``. None means: read the sidecars."""
    return os.environ.get("MESHKIT_PROMETHEUS") or None


def prometheus_token_file() -> Path | None:
    """``$MESHKIT_PROMETHEUS_TOKEN_FILE``: the file with the bearer token for Prometheus."""
    return _path("MESHKIT_PROMETHEUS_TOKEN_FILE")


def prometheus_ca_file() -> Path | None:
    """``$MESHKIT_PROMETHEUS_CA_FILE``: the CA certificate (PEM) that verifies Prometheus."""
    return _path("MESHKIT_PROMETHEUS_CA_FILE")


def variable(name: str) -> str | None:
    """The value of an environment variable that the user named, or None if it is not set."""
    return os.environ.get(name)


def child_environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with changes, for a child process. None removes a variable."""
    changed = {**os.environ, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _path(variable: str) -> Path | None:
    given = os.environ.get(variable)
    return expanded(variable, given) if given else None


def expanded(field: str, given: str | Path) -> Path:
    """A path of the user with ``~`` and ``~name`` replaced. Raises ``BadInput``, which names ``field``."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        problem = f"{str(given)[:80]!r} names the home directory of a user that does not exist."
        raise BadInput(field, problem, remedy="Write the whole path.") from error


def _of_user() -> Path:
    """The home directory of this user, who need not have one in a container."""
    try:
        return Path.home()
    except RuntimeError as error:
        problem = "it is not set, and this user has no home directory."
        raise BadInput("HOME", problem, remedy="Set HOME to a directory.") from error
