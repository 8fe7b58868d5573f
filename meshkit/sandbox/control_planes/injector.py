"""The patch that adds a sidecar to a new pod: what every mesh's injector shares. Pure; ``webhook`` serves it.

What a mesh's injector decides, and which container, labels and annotations it adds, stands in its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from meshkit.kube.metadata import labels, notes
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Proxy
from meshkit.sandbox.control_planes.registry import data_plane_of

Patch = list[dict[str, Any]]


@dataclass(frozen=True)
class Sidecar:
    """What an injector adds to a pod. Labels and annotations that the pod has stay as they are."""

    container: Mapping[str, Any]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class Injector:
    """The replica that injects: its version, its revision, and the roots that it knows."""

    version: str
    revision: str
    roots: str = ""
    """The bundle that a proxy is told to trust as long as its pod lives; empty where a mesh tells none."""


class Injection(Protocol):
    """What one mesh's injector adds to a pod."""

    def __call__(self, pod: Object, namespace: Object, injector: Injector, /) -> Sidecar | None:
        """None for a pod that gets no sidecar."""


def patch_for(injection: Injection, pod: Object, namespace: Object, injector: Injector) -> Patch:
    """The JSON patch that adds the mesh's sidecar to a new pod; empty where it gets none."""
    if data_plane_of(pod) or pod["spec"].get("hostNetwork"):
        return []
    added = injection(pod, namespace, injector)
    if added is None:
        return []
    return [
        _container(pod, added.container),
        *_added(pod, "labels", labels(pod), added.labels),
        *_added(pod, "annotations", notes(pod), added.annotations),
    ]


def trust_anchors(pod: Object, proxy: Proxy) -> str | None:
    """The roots that the pod was made to trust, None where it was told of none."""
    sidecars = (c for c in pod["spec"].get("initContainers") or () if c["name"] == proxy.container)
    told = {entry["name"]: entry.get("value") for c in sidecars for entry in c.get("env") or ()}
    return told.get(proxy.roots_variable)


def owner_name(pod: Object) -> str:
    """The Deployment's name as far as a pod that has no name yet tells it."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences") or ():
        name = str(owner["name"])
        return name.rpartition("-")[0] or name if owner["kind"] == "ReplicaSet" else name
    return str(meta.get("name") or str(meta.get("generateName", "pod")).rstrip("-"))


def _container(pod: Object, container: Mapping[str, Any]) -> dict[str, Any]:
    if pod["spec"].get("initContainers"):
        return {"op": "add", "path": "/spec/initContainers/0", "value": container}
    return {"op": "add", "path": "/spec/initContainers", "value": [container]}


def _added(pod: Object, where: str, have: Mapping[str, str], values: Mapping[str, str]) -> Patch:
    """Labels or annotations the pod does not have yet."""
    missing = {key: value for key, value in values.items() if key not in have}
    if not have:
        return [{"op": "add", "path": f"/metadata/{where}", "value": missing}]
    return [
        {
            "op": "add",
            "path": f"/metadata/{where}/{key.replace('~', '~0').replace('/', '~1')}",
            "value": value,
        }
        for key, value in sorted(missing.items())
    ]
