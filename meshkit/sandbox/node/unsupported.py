"""Pure functions that list the fields and variables of a pod that the node agent ignores.

Every unsupported field is listed here, so that none is ignored silently; a change that adds support for a
field removes it from the list. Volumes are listed because no container has one at its mountPath, although
some programs find them elsewhere (``volumes``). The command is listed because it only selects the program of
an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.sandbox.control_planes.registry import is_proxy
from meshkit.sandbox.node.environment import affects_loading

_OF_POD = (
    *("activeDeadlineSeconds", "dnsConfig", "hostAliases", "hostNetwork", "securityContext"),
    "volumes",
)
_OF_CONTAINER = (
    *("command", "envFrom", "lifecycle", "resources", "securityContext", "startupProbe", "volumeMounts"),
    "workingDir",
)


def ignored_fields(pod: Mapping[str, Any]) -> list[str]:
    """Return the ignored fields, for example ``spec.containers[web].startupProbe``.

    The containers of the mesh's proxy are skipped, because the user did not write them.
    """
    spec = pod["spec"]
    whole = [f"spec.{name}" for name in _OF_POD if spec.get(name)]
    return [*whole, *_of_affinity(spec.get("affinity") or {}), *_of_containers(spec)]


def _of_affinity(affinity: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of affinity that the scheduler ignores: all but the required one to nodes."""
    for name in ("podAffinity", "podAntiAffinity"):
        if name in affinity:
            yield f"spec.affinity.{name}"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    if (affinity.get("nodeAffinity") or {}).get(preferred):
        yield f"spec.affinity.nodeAffinity.{preferred}"


def ineffective_variables(pod: Mapping[str, Any]) -> list[str]:
    """Return variables that would affect how programs load, as ``spec.containers[web].env[PYTHONPATH]``."""
    return [
        f"spec.{kind}[{container['name']}].env[{variable['name']}]"
        for kind in ("initContainers", "containers")
        for container in pod["spec"].get(kind) or ()
        for variable in container.get("env") or ()
        if affects_loading(variable["name"])
    ]


def _of_containers(spec: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            if not is_proxy(container["name"]):
                for name in _OF_CONTAINER:
                    if container.get(name):
                        yield f"spec.{kind}[{container['name']}].{name}"
