"""Select the cluster to connect to: from a kubeconfig, the ServiceAccount of the pod, or the sandbox.

An explicit choice wins, then the current-context of ``$KUBECONFIG``, then the cluster of the pod that this
process runs in, then a running sandbox. The current-context of ``~/.kube/config`` is never used: that file
only provides contexts for an explicit choice.
"""

from __future__ import annotations

import base64
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshkit import settings
from meshkit.cluster.api import Api
from meshkit.cluster.kubeconfig import Entries, Kubeconfig, read_kubeconfig
from meshkit.cluster.transport.answers import bound_answers
from meshkit.cluster.transport.certificates import load_certificates, written
from meshkit.errors import BadInput, UnknownName
from meshkit.facts import ClusterRef

SANDBOX = "meshkit-sandbox"
_HANDSHAKE_S = 20.0
"""A busy machine takes seconds for what is usually done in a hundredth."""
CLUSTER = "application/vnd.meshkit.cluster+json"
"""The media type of the output with which a notebook reports the cluster it is connected to."""
_ENVIRONMENT = "$KUBECONFIG"
_POD_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True)
class Cluster:
    """A cluster: its context, the address of its API server, and the connection.

    Another process connects to the same cluster with ``context`` and ``kubeconfig``, which is one file, or
    several in the format of ``$KUBECONFIG``, or None in a pod. ``server`` has no credentials. ``reason``
    tells why this cluster was selected; it is empty if the caller named the context. ``mesh`` is the name of
    the mesh that operations on this cluster work on, or None; this package does not interpret it.
    """

    context: str
    server: str
    api: Api
    kubeconfig: str | None = None
    reason: str = ""
    mesh: str | None = None

    @property
    def ref(self) -> ClusterRef:
        """A reference to the cluster, without the connection."""
        return ClusterRef(self.context, self.server)

    def __str__(self) -> str:
        return str(self.ref)

    def __repr__(self) -> str:
        why = f", {self.reason!r}" if self.reason else ""
        return f"Cluster({self.context!r}, {self.server!r}{why})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), CLUSTER: {"context": self.context, "server": self.server}}


def connect(
    context: str | None = None, kubeconfig: str | Path | None = None, mesh: str | None = None
) -> Cluster:
    """Select a cluster. This sends no request.

    ``context`` names a context of ``kubeconfig`` (by default ``$KUBECONFIG`` or ``~/.kube/config``, and the
    sandbox's own). ``kubeconfig`` alone means the current-context of that file, or its only context. Without
    arguments the cluster is the current-context of ``$KUBECONFIG`` if that is set, else the cluster of the
    pod, else a running sandbox. ``mesh`` binds the cluster to one mesh; without it every operation takes the
    only mesh that the cluster has. Raises ``BadInput`` if there is no cluster, or if the selected file or
    context is invalid: there is no fallback to the next choice.
    """
    return replace(_chosen(context, kubeconfig), mesh=mesh)


def _chosen(context: str | None, kubeconfig: str | Path | None) -> Cluster:
    if kubeconfig is not None:
        return _of_file(context, kubeconfig)
    if context is not None:
        return _named(context)
    given = settings.kubeconfig_files()
    if given is not None:
        return _of_environment(given)
    if _POD_TOKEN.is_file() and settings.in_pod():
        return _in_cluster()
    return _sandbox_or_none()


def environment_for(cluster: Cluster) -> dict[str, str]:
    """The environment for Helm, kubectl and similar programs to connect to this cluster by context name.

    It sets ``$KUBECONFIG``, because ``--kubeconfig`` takes only one file. In a pod it sets an empty file,
    because these programs prefer ``~/.kube/config`` to the pod's ServiceAccount.
    """
    return settings.child_environment(KUBECONFIG=cluster.kubeconfig or os.devnull)


def connect_sandbox() -> Cluster:
    """Connect to the sandbox of this ``$MESHKIT_HOME``, regardless of ``$KUBECONFIG``.

    Raises ``BadInput`` if it is not running.
    """
    cluster = _running_sandbox()
    if cluster is None:
        raise _sandbox_down()
    return cluster


def _sandbox_down() -> BadInput:
    return BadInput("context", "the sandbox is not up.", remedy="Start it with 'meshkit sandbox up'.")


def _of_file(context: str | None, given: str | Path) -> Cluster:
    if not str(given):
        raise BadInput("kubeconfig", "it is empty.", remedy="Name a file, or leave it out.")
    one = settings.expanded("kubeconfig", given)
    paths = (
        [one]
        if _is_file(one)
        else [settings.expanded("kubeconfig", each) for each in str(given).split(os.pathsep) if each]
    )
    for path in paths:
        if not _is_file(path):
            raise BadInput("kubeconfig", f"there is no file {str(path)[:200]}.", remedy="Correct the path.")
    found = read_kubeconfig([path.absolute() for path in paths])
    if context is not None:
        if context not in found.contexts:
            raise UnknownName("context", context, found.contexts)
        return _connected(found, context)
    if found.current_context:
        if found.current_context not in found.contexts:
            raise UnknownName(f"current-context of {found.path}", found.current_context, found.contexts)
        return _connected(found, found.current_context, f"the current-context of {found.path}")
    if len(found.contexts) != 1:
        problem = f"{found.path} has {len(found.contexts)} contexts."
        raise BadInput("context", problem, remedy=_name_one(found.contexts))
    return _connected(found, next(iter(found.contexts)), f"the only context of {found.path}")


def _named(context: str) -> Cluster:
    """Connect to a context of the user's files, else of the sandbox's file."""
    given = settings.kubeconfig_files()
    user = [settings.default_kubeconfig()] if given is None else given
    known: dict[str, Any] = {}
    for paths in (user, [_sandbox_file()]):
        found = read_kubeconfig([path for path in paths if _is_file(path)])
        if context in found.contexts:
            if context == SANDBOX and paths == [_sandbox_file()]:
                return connect_sandbox()
            return _connected(found, context)
        known.update(found.contexts)
    if context == SANDBOX:
        raise _sandbox_down()
    missing = [path for path in given or () if not _is_file(path)]
    if missing:
        problem = f"{context!r} is not known; of {_ENVIRONMENT} there is no file {missing[0]}."
        raise BadInput("context", problem, remedy=f"Correct {_ENVIRONMENT}. {_name_one(known)}")
    raise UnknownName("context", context, known)


def _of_environment(given: tuple[Path, ...]) -> Cluster:
    """Connect to the current-context of ``$KUBECONFIG``.

    A missing file is an error: it may set the context.
    """
    found = read_kubeconfig([path for path in given if _is_file(path)])
    remedy = f"Correct {_ENVIRONMENT} or unset it. {_name_one(found.contexts)}"
    missing = [path for path in given if not _is_file(path)]
    if missing:
        raise BadInput(_ENVIRONMENT, f"there is no file {missing[0]}.", remedy=remedy)
    if not given:
        raise BadInput(_ENVIRONMENT, "it names no file.", remedy=remedy)
    if not found.current_context:
        raise BadInput(_ENVIRONMENT, f"{found.path} has no current-context.", remedy=remedy)
    if found.current_context not in found.contexts:
        raise UnknownName(f"current-context of {found.path}", found.current_context, found.contexts)
    return _connected(found, found.current_context, f"from {_ENVIRONMENT}")


def _sandbox_or_none() -> Cluster:
    cluster = _running_sandbox(f"the sandbox, as {_ENVIRONMENT} is not set")
    if cluster is not None:
        return cluster
    default = settings.default_kubeconfig()
    known = read_kubeconfig([default]).contexts if _is_file(default) else {}
    raise BadInput(
        "context",
        "no cluster is named, and the sandbox is not up.",
        remedy=f"Start it with 'meshkit sandbox up', or set {_ENVIRONMENT}. {_name_one(known)}",
    )


def _running_sandbox(reason: str = "") -> Cluster | None:
    path = _sandbox_file()
    if not _is_file(path):
        return None
    found = read_kubeconfig([path])
    cluster = _connected(found, SANDBOX, reason)
    return cluster if _listens(cluster.server, _authority(found, SANDBOX)) else None


def _authority(kubeconfig: Kubeconfig, context: str) -> str:
    """The certificate of the context's cluster as PEM, or an empty text."""
    encoded = kubeconfig.only(context)["clusters"][0]["cluster"].get("certificate-authority-data")
    return base64.b64decode(encoded).decode() if encoded else ""


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _name_one(contexts: Entries) -> str:
    names = sorted(name for name in contexts if name != SANDBOX)
    return f"Name one of these contexts: {', '.join(names)}." if names else "No kubeconfig names a context."


def _sandbox_file() -> Path:
    return settings.home() / "sandbox" / "kubeconfig"


def _connected(kubeconfig: Kubeconfig, context: str, reason: str = "") -> Cluster:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_kube_config_from_dict

    configuration = Configuration()
    try:
        with _logged() as login_problems, written(kubeconfig.only(context)) as (content, was_inline):
            load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                content, client_configuration=configuration, persist_config=False
            )
            cluster = _cluster(context, configuration, kubeconfig.path, reason, load_now=was_inline)
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        raise _unusable(context, kubeconfig.path, str(error)) from error
    if login_problems:
        raise _unusable(context, kubeconfig.path, login_problems[0])
    return cluster


def _unusable(context: str, path: str, problem: str) -> BadInput:
    return BadInput(
        "kubeconfig",
        f"context {context} of {path} cannot be used: {problem.splitlines()[0].rstrip('.')}.",
        remedy="Correct the file, or name another context.",
    )


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Collect the errors that are logged, because the client only logs a failed login program."""
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
    return _cluster("in-cluster", configuration, reason="the account of this pod")


def _cluster(
    context: str,
    configuration: Any,
    kubeconfig: str | None = None,
    reason: str = "",
    *,
    load_now: bool = False,
) -> Cluster:
    from kubernetes.client import ApiClient
    from kubernetes.dynamic import DynamicClient

    server = _without_credentials(str(configuration.host))
    # No retries by urllib3: a request without a response may have been executed. api.py retries.
    configuration.retries = False
    if urlsplit(server).hostname in ("127.0.0.1", "localhost", "::1"):
        configuration.proxy = None
    connection = ApiClient(configuration)
    if load_now:
        load_certificates(connection.rest_client.pool_manager)
    bound_answers(connection.rest_client.pool_manager)
    client = DynamicClient(connection, discoverer=_NoDiscovery)  # type: ignore[no-untyped-call]
    return Cluster(context, server, Api(client, server), kubeconfig, reason)


def _without_credentials(server: str) -> str:
    """The address without user, password and query, for messages."""
    address = urlsplit(server)
    return address._replace(netloc=address.netloc.rpartition("@")[2], query="", fragment="").geturl()


class _NoDiscovery:
    """Replaces the client's discovery, which reads and writes a cache file when it is created."""

    def __init__(self, client: object, cache_file: object) -> None:
        pass


def _listens(server: str, authority: str) -> bool:
    """Whether an API server with a certificate of this authority listens at the address.

    The port alone proves nothing: when a sandbox ends, that of another $MESHKIT_HOME can take its port.
    """
    address = urlsplit(server)
    try:
        with socket.create_connection((address.hostname or "", address.port or 443), timeout=1) as connection:
            if authority:
                connection.settimeout(_HANDSHAKE_S)
                trusted = ssl.create_default_context(cadata=authority)
                trusted.wrap_socket(connection, server_hostname=address.hostname).close()
    except OSError:
        return False
    return True
