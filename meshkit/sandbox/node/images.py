"""The images that the sandbox knows, each as the program that runs in its place.

A tag or digest is kept in status and otherwise ignored: the sandbox has one version of each program. Whoever
adds an image adds a row here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from meshkit.sandbox.dataplane import envoy

Role = Literal["program", "sidecar", "setup"]
Command = Callable[[Path, Sequence[str]], list[str]]


@dataclass(frozen=True)
class Image:
    """What runs for an image: ``command`` from the pod's folder and the container's command and args to a
    command line, and ``reads``, the variables that the program takes from the container's ``env``.

    A ``sidecar`` is a proxy wired up by the node agent. A ``setup`` ends at once and well: what it would do
    to the pod's network the node agent has done already.
    """

    role: Role
    command: Command
    reads: frozenset[str] = frozenset()


def _module(name: str, *arguments: str) -> Command:
    return lambda pod_dir, args: _python(name, *arguments)


def _istiod(pod_dir: Path, args: Sequence[str]) -> list[str]:
    _expect(args[:1], ("discovery",))
    return _control_plane("istio", "injector,config,identity")


_LINKERD_ROLES = {
    "destination": "config",
    "identity": "identity",
    "proxy-injector": "injector",
    "sp-validator": "profile-validator",
    "/linkerd-policy-controller": "policy-validator",
}
"""The first word of a container of Linkerd's, and what runs for it. What the policy controller tells proxies,
the one of the destinations writes into their files too.
"""


def _linkerd(pod_dir: Path, args: Sequence[str]) -> list[str]:
    _expect(args[:1], tuple(_LINKERD_ROLES))
    return _control_plane("linkerd", _LINKERD_ROLES[args[0]])


def _expect(given: Sequence[str], known: Sequence[str]) -> None:
    if not given or given[0] not in known:
        asked = given[0] if given else "none"
        raise ValueError(f"argument {asked!r} is not known to the sandbox; known: {', '.join(known)}")


def _control_plane(mesh: str, roles: str) -> list[str]:
    return _python("control_planes.main", "--mesh", mesh, "--roles", roles)


def _python(module: str, *arguments: str) -> list[str]:
    """``-P``: the working directory is no place to import from."""
    return [sys.executable, "-P", "-m", f"meshkit.sandbox.{module}", *arguments]


def _envoy(pod_dir: Path, args: Sequence[str]) -> list[str]:
    return envoy.command(pod_dir)


def _nothing(pod_dir: Path, args: Sequence[str]) -> list[str]:
    return []


_CALLER = frozenset({"HTTP_PROXY", "POD_NAMESPACE", "TIMEOUT_S"})
_WEB = _CALLER | {
    *("VERSION", "LATENCY_MS", "LATENCY_SIGMA", "ERROR_PERCENT", "POD_NAME", "DEPENDENCY", "DEPENDENCY_PATHS")
}
_LOAD = _CALLER | {"TARGET", "PATHS", "RATE", "HEADERS"}
_JOB = frozenset({"RUN_S", "EXIT_CODE"})
_ISTIOD = frozenset({"REVISION", "DEFAULT_WORKLOAD_CERT_TTL"})
_LINKERD = frozenset({"LINKERD2_IDENTITY_ISSUANCE_LIFETIME"})

KNOWN = MappingProxyType(
    {
        "meshkit.dev/sandbox/web": Image("program", _module("workloads.web"), _WEB),
        "meshkit.dev/sandbox/load": Image("program", _module("workloads.load"), _LOAD),
        "meshkit.dev/sandbox/job": Image("program", _module("workloads.job"), _JOB),
        "docker.io/istio/proxyv2": Image("sidecar", _envoy),
        **dict.fromkeys(("cr.l5d.io/linkerd/proxy", "ghcr.io/linkerd/proxy"), Image("sidecar", _envoy)),
        "docker.io/istio/pilot": Image("program", _istiod, _ISTIOD),
        **dict.fromkeys(
            ("cr.l5d.io/linkerd/controller", "ghcr.io/linkerd/controller"),
            Image("program", _linkerd, _LINKERD),
        ),
        "ghcr.io/linkerd/proxy-init": Image("setup", _nothing),
    }
)


def repository(reference: str) -> str:
    """The repository of an image reference, without tag and digest; ``docker.io`` where no registry is named.

    >>> repository("istio/pilot:1.31.4")
    'docker.io/istio/pilot'
    """
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    registry, slash, rest = name.partition("/")
    if slash and ("." in registry or ":" in registry or registry == "localhost"):
        return f"{registry}/{rest}"
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def find(reference: str, *, is_setup: bool = False) -> Image | None:
    """What runs for an image, or None.

    ``is_setup``: for an init container, where a proxy's image only sets up.
    """
    image = KNOWN.get(repository(reference))
    if image is not None and is_setup and image.role == "sidecar":
        return Image("setup", _nothing)
    return image
