"""Pure functions shared by all meshes' injectors, which build the patches of new pods and Services.

The mesh's folder contains what its injector decides and which container, labels and annotations it adds.
``webhook`` serves the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from meshkit.kube.metadata import annotations_of, labels
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Proxy
from meshkit.sandbox.control_planes.registry import data_plane_of

Patch = list[dict[str, Any]]


@dataclass(frozen=True)
class Sidecar:
    """The additions of an injector; they do not replace existing labels and annotations of a pod."""

    container: Mapping[str, Any]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    setup: Mapping[str, Any] | None = None
    """An init container that redirects the pod's connections to the sidecar, if the mesh has one."""
    volumes: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Injector:
    """The version, the revision and the trusted roots of the injecting replica."""

    version: str
    revision: str
    roots: str = ""
    """The trust bundle that is fixed in a pod at injection; empty for a mesh that does not inject it."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The values of the mesh's charts, where they are mounted."""
    mesh_config: str = ""
    """The mesh config, in YAML; empty for a mesh whose injector does not read it."""


class Injection(Protocol):
    """A function that computes what one mesh's injector adds to a pod."""

    def __call__(self, pod: Object, namespace: Object, injector: Injector, /) -> Sidecar | None:
        """Return the sidecar for a pod, or None if it is not injected."""


class Annotation(Protocol):
    """A function that computes the annotations that one mesh's injector gives to a new Service."""

    def __call__(self, service: Object, namespace: Object, injector: Injector, /) -> Mapping[str, str]:
        """Return the annotations; empty for none."""


def annotation_patch(annotation: Annotation, service: Object, namespace: Object, injector: Injector) -> Patch:
    """Return the JSON patch that annotates a new Service; empty if there is nothing to add."""
    added = annotation(service, namespace, injector)
    return _added(service, "annotations", annotations_of(service), added) if added else []


def patch_for(injection: Injection, pod: Object, namespace: Object, injector: Injector) -> Patch:
    """Return the JSON patch that adds the mesh's sidecar to a new pod; empty if it is not injected."""
    if data_plane_of(pod) or pod["spec"].get("hostNetwork"):
        return []
    added = injection(pod, namespace, injector)
    if added is None:
        return []
    containers = [added.setup, added.container] if added.setup else [added.container]
    return [
        *_in_front(pod, "initContainers", containers),
        *(_in_front(pod, "volumes", added.volumes) if added.volumes else ()),
        *_added(pod, "labels", labels(pod), added.labels),
        *_added(pod, "annotations", annotations_of(pod), added.annotations),
    ]


def trust_anchors(pod: Object, proxy: Proxy) -> str | None:
    """Return the trust bundle that was injected when the pod was created, or None."""
    sidecars = (c for c in pod["spec"].get("initContainers") or () if c["name"] == proxy.container)
    env = {entry["name"]: entry.get("value") for c in sidecars for entry in c.get("env") or ()}
    return env.get(proxy.roots_variable)


def owner_name(pod: Object) -> str:
    """Derive the Deployment's name from the metadata of a pod that may have no name yet."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences") or ():
        name = str(owner["name"])
        return name.rpartition("-")[0] or name if owner["kind"] == "ReplicaSet" else name
    return str(meta.get("name") or str(meta.get("generateName", "pod")).rstrip("-"))


def _in_front(pod: Object, name: str, values: Sequence[Mapping[str, Any]]) -> Patch:
    """Return patch operations that put values in front of a list of the pod's spec."""
    if not pod["spec"].get(name):
        return [{"op": "add", "path": f"/spec/{name}", "value": list(values)}]
    return [{"op": "add", "path": f"/spec/{name}/0", "value": value} for value in reversed(values)]


def _added(item: Object, where: str, existing: Mapping[str, str], values: Mapping[str, str]) -> Patch:
    """Return patch operations for labels or annotations that an object does not have yet."""
    missing = {key: value for key, value in values.items() if key not in existing}
    if not existing:
        return [{"op": "add", "path": f"/metadata/{where}", "value": missing}]
    return [
        {
            "op": "add",
            "path": f"/metadata/{where}/{key.replace('~', '~0').replace('/', '~1')}",
            "value": value,
        }
        for key, value in sorted(missing.items())
    ]
