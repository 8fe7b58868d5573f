"""Maps the supported container images to the programs that the sandbox runs for them.

A tag or digest appears in the pod's status and is otherwise ignored, because the sandbox has one version of
each program. Each mesh's data plane defines its images (``control_planes/<mesh>/data_plane.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from meshkit.sandbox.control_planes.registry import DATA_PLANES
from meshkit.sandbox.node.programs import SETUP, Image, module

_CALLER = frozenset({"HTTP_PROXY", "POD_NAMESPACE", "TIMEOUT_S"})
_WEB = _CALLER | {
    *("VERSION", "LATENCY_MS", "LATENCY_SIGMA", "ERROR_PERCENT", "POD_NAME", "DEPENDENCY", "DEPENDENCY_PATHS")
}
_LOAD = _CALLER | {"TARGET", "PATHS", "RATE", "HEADERS"}
_JOB = frozenset({"RUN_S", "EXIT_CODE"})


def _toolkit(pod_dir: Path, args: Sequence[str]) -> list[str]:
    return module("workloads.toolkit", *args)


def _workload(name: str, reads: frozenset[str]) -> Image:
    return Image("program", lambda pod_dir, args: module(f"workloads.{name}"), reads)


KNOWN: Mapping[str, Image] = MappingProxyType(
    {
        "docker.io/library/meshkit": Image("program", _toolkit),
        "meshkit.dev/sandbox/web": _workload("web", _WEB),
        "meshkit.dev/sandbox/load": _workload("load", _LOAD),
        "meshkit.dev/sandbox/job": _workload("job", _JOB),
        **{name: image for plane in DATA_PLANES.values() for name, image in plane.images.items()},
    }
)


def repository(reference: str) -> str:
    """Return the repository of an image reference without tag and digest; the default registry is docker.io.

    >>> repository("acme/web:1.2")
    'docker.io/acme/web'
    """
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    registry, slash, rest = name.partition("/")
    if slash and ("." in registry or ":" in registry or registry == "localhost"):
        return f"{registry}/{rest}"
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def find(reference: str, *, is_setup: bool = False) -> Image | None:
    """Return the program that runs for an image, or None if the image is not supported.

    With ``is_setup`` (a plain init container), a proxy's image only sets up the network.
    """
    image = KNOWN.get(repository(reference))
    if image is not None and is_setup and image.role == "sidecar":
        return SETUP
    return image
