"""What a pod asks for and does not get here: fields and variables that the node agent ignores. Pure.

A field that nobody lists here and nobody honours would be a silent lie; whoever honours one removes it.
Volumes are among them: no container finds one at its mountPath, though some programs look elsewhere for it
(``volumes``). So is the command, which at most chooses what runs for an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.sandbox.control_planes.registry import is_proxy
from meshkit.sandbox.node.environment import decides_loading

_OF_POD = (
    *("activeDeadlineSeconds", "affinity", "dnsConfig", "hostAliases", "hostNetwork", "securityContext"),
    "volumes",
)
_OF_CONTAINER = (
    *("command", "envFrom", "lifecycle", "resources", "securityContext", "startupProbe", "volumeMounts"),
    "workingDir",
)


def ignored_fields(pod: Mapping[str, Any]) -> list[str]:
    """The fields that have no effect, as ``spec.containers[web].startupProbe``.

    Containers of the mesh's proxy are not the user's, and left out.
    """
    spec = pod["spec"]
    return [*(f"spec.{name}" for name in _OF_POD if spec.get(name)), *_of_containers(spec)]


def ineffective_variables(pod: Mapping[str, Any]) -> list[str]:
    """Variables that would decide how a program is loaded, as ``spec.containers[web].env[PYTHONPATH]``."""
    return [
        f"spec.{kind}[{container['name']}].env[{variable['name']}]"
        for kind in ("initContainers", "containers")
        for container in pod["spec"].get(kind) or ()
        for variable in container.get("env") or ()
        if decides_loading(variable["name"])
    ]


def _of_containers(spec: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            if not is_proxy(container["name"]):
                for name in _OF_CONTAINER:
                    if container.get(name):
                        yield f"spec.{kind}[{container['name']}].{name}"
