"""Predicates on pods: live, ready, running a sidecar."""

from __future__ import annotations

from meshkit.facts import Object


def is_ready(pod: Object) -> bool:
    """Whether a pod's Ready condition is true."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_live(pod: Object) -> bool:
    """Whether a pod is neither finished nor on its way out."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def has_sidecar(pod: Object, container: str) -> bool:
    """Whether a pod runs the proxy: as a container, or as an init container that stays (a native sidecar)."""
    spec = pod["spec"]
    containers = (*spec.get("containers", ()), *(spec.get("initContainers") or ()))
    return any(each["name"] == container for each in containers)
