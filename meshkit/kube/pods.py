"""What a pod says of itself: whether it is live and ready, its containers, the workload it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Object


def is_ready(one: Object) -> bool:
    """Whether the condition Ready of a pod (or of a node) is true, and it is not being deleted."""
    conditions = (one.get("status") or {}).get("conditions") or ()
    return "deletionTimestamp" not in one["metadata"] and any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    )


def is_live(pod: Object) -> bool:
    """Whether a pod is neither finished nor on its way out."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def all_containers(pod: Object) -> Iterator[Any]:
    """The containers of a pod or of a pod template, init containers (native sidecars too) last."""
    spec = pod.get("spec") or {}
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def has_sidecar(pod: Object, container: str) -> bool:
    """Whether a pod runs the proxy: as a container, or as an init container that stays (a native sidecar)."""
    return any(each["name"] == container for each in all_containers(pod))


def running_container(pod: Object, container: str) -> Mapping[str, Any] | None:
    """The status of a pod's container (of an init container too) while it runs, else None."""
    status = pod.get("status") or {}
    found = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    return next(
        (each for each in found if each.get("name") == container and "running" in (each.get("state") or {})),
        None,
    )


def workload(pod: Object) -> str:
    """The workload a pod belongs to (``namespace/name``), from the object that owns it or its own name."""
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
