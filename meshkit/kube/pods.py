"""The state of a pod: whether it is live and ready, its containers and the workload it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Object


def is_ready(one: Object) -> bool:
    """Whether a pod or node has the condition Ready and is not being deleted."""
    conditions = (one.get("status") or {}).get("conditions") or ()
    return "deletionTimestamp" not in one["metadata"] and any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    )


def is_live(pod: Object) -> bool:
    """Whether a pod is neither finished nor being deleted."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def all_containers(pod: Object) -> Iterator[Any]:
    """The containers of a pod or pod template, followed by its init containers (and native sidecars)."""
    spec = pod.get("spec") or {}
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def has_sidecar(pod: Object, container: str) -> bool:
    """Whether a pod has the proxy container: as a container or as a native sidecar."""
    return any(each["name"] == container for each in all_containers(pod))


def running_container(pod: Object, container: str) -> Mapping[str, Any] | None:
    """The status of a pod's container or init container if it is running, else None."""
    status = pod.get("status") or {}
    found = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    return next(
        (each for each in found if each.get("name") == container and "running" in (each.get("state") or {})),
        None,
    )


def workload(pod: Object) -> str:
    """The workload of a pod (``namespace/name``), from its owner reference or its own name."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences") or ():
        name = str(owner["name"])
        return f"{meta['namespace']}/{name.rpartition('-')[0] if owner['kind'] == 'ReplicaSet' else name}"
    return f"{meta['namespace']}/{meta['name']}"


def image_tag(image: str) -> str:
    """The tag of an image reference.

    >>> image_tag("docker.io/istio/pilot:1.31.4@sha256:0a")
    '1.31.4'
    """
    return image.partition("@")[0].rpartition(":")[2]
