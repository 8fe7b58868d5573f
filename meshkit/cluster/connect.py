"""Which API server: the one place that chooses between kubeconfig, the pod's own account and the sandbox.

A kubeconfig's current context is never used silently: whoever changes a cluster names it. Without a name it
is the cluster this process runs in, else the sandbox.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshkit import settings
from meshkit.cluster.api import Api
from meshkit.errors import BadInput, UnknownName

SANDBOX = "meshkit-sandbox"
_POD_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True)
class Cluster:
    """One cluster: its context, the address of its API server, and the connection.

    Context and ``kubeconfig`` (None inside a pod) are what another process needs to reach the same cluster.
    """

    context: str
    server: str
    api: Api
    kubeconfig: Path | None = None

    def __repr__(self) -> str:
        return f"Cluster({self.context!r}, {self.server!r})"


def connect(context: str | None = None, kubeconfig: str | Path | None = None) -> Cluster:
    """Choose a cluster. No request is made yet.

    ``context`` names a context of ``kubeconfig`` (by default ``$KUBECONFIG`` or ``~/.kube/config``, and the
    sandbox's own). Without any argument: the cluster of the pod this runs in, else the sandbox when it is up.
    Raises ``BadInput`` when that leaves no cluster, or the file or context cannot be used.
    """
    if context is None and kubeconfig is None:
        return _without_arguments()
    files = [Path(kubeconfig).expanduser()] if kubeconfig else _default_files()
    if kubeconfig and not files[0].is_file():
        raise BadInput("kubeconfig", f"there is no file {files[0]}.", remedy="Correct the path.")
    found = _contexts(files)
    if context is None:
        if len(found) != 1:
            raise BadInput("context", f"{files[0]} has {len(found)} contexts.", remedy=_name_one(found))
        context = next(iter(found))
    if context not in found:
        raise UnknownName("context", context, found)
    return _from_file(found[context], context)


def _without_arguments() -> Cluster:
    if _POD_TOKEN.is_file() and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster()
    sandbox = _sandbox_file()
    if sandbox.is_file():
        cluster = _from_file(sandbox, SANDBOX)
        if _listens(cluster.server):
            return cluster
    raise BadInput(
        "context",
        "no cluster is named, and the sandbox is not up.",
        remedy=f"Start it with 'meshkit sandbox up'. {_name_one(_contexts(_default_files()))}",
    )


def _name_one(contexts: dict[str, Path]) -> str:
    names = sorted(name for name in contexts if name != SANDBOX)
    return f"Name one with context=: {', '.join(names)}." if names else "No kubeconfig names a context."


def _sandbox_file() -> Path:
    return settings.home() / "sandbox" / "kubeconfig"


def _default_files() -> list[Path]:
    given = os.environ.get("KUBECONFIG")
    paths = given.split(os.pathsep) if given else ["~/.kube/config"]
    files = [*(Path(path).expanduser() for path in paths if path), _sandbox_file()]
    return [path for path in files if path.is_file()]


def _contexts(files: Sequence[Path]) -> dict[str, Path]:
    """Context -> the file that defines it; the first file wins, as kubectl has it."""
    import yaml

    found: dict[str, Path] = {}
    for path in files:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            names = [entry["name"] for entry in content["contexts"] or ()]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
            raise BadInput(
                "kubeconfig", f"{path} is not a kubeconfig.", remedy="Give one that kubectl can read."
            ) from error
        for name in names:
            found.setdefault(name, path)
    return found


def _from_file(path: Path, context: str) -> Cluster:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_kube_config

    configuration = Configuration()
    try:
        with _logged() as login_problems:
            load_kube_config(  # type: ignore[no-untyped-call]
                str(path), context, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        raise _unusable(context, path, str(error)) from error
    if login_problems:
        raise _unusable(context, path, login_problems[0])
    return _cluster(context, configuration, path)


def _unusable(context: str, path: Path, problem: str) -> BadInput:
    return BadInput(
        "kubeconfig",
        f"context {context} of {path} cannot be used: {problem.splitlines()[0].rstrip('.')}.",
        remedy="Correct the file, or name another context.",
    )


@contextmanager
def _logged() -> Iterator[list[str]]:
    """The errors that are logged meanwhile: the client only logs that a login program failed."""
    problems: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: problems.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield problems
    finally:
        root.removeHandler(handler)


def _in_cluster() -> Cluster:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config

    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise BadInput(
            "context", f"the pod's account cannot be used: {error}.", remedy="Mount a ServiceAccount token."
        ) from error
    return _cluster("in-cluster", configuration)


def _cluster(context: str, configuration: Any, kubeconfig: Path | None = None) -> Cluster:
    from kubernetes.client import ApiClient
    from kubernetes.dynamic import DynamicClient

    server = str(configuration.host)
    # A request that got no answer may have been carried out: only this package decides what is tried again.
    configuration.retries = False
    if urlsplit(server).hostname in ("127.0.0.1", "localhost", "::1"):
        configuration.proxy = None
    connection = ApiClient(configuration)
    client = DynamicClient(connection, discoverer=_NoDiscovery)  # type: ignore[no-untyped-call]
    return Cluster(context, server, Api(client, server), kubeconfig)


class _NoDiscovery:
    """Stands in for the client's own discovery, which would read and write a cache file at once."""

    def __init__(self, client: object, cache_file: object) -> None:
        pass


def _listens(server: str) -> bool:
    address = urlsplit(server)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=1).close()
    except OSError:
        return False
    return True
