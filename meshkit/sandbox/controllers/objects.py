"""Helpers that read owners, conditions and times from Kubernetes objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from meshkit.kube.pods import is_ready

Object = dict[str, Any]


def key_of(obj: Object) -> tuple[str, str]:
    """Return ``(namespace, name)``; the namespace of a cluster-scoped object is empty."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the managing controller, or None."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def controlled_by(obj: Object, owner: Object) -> bool:
    """Return whether ``owner`` is the managing controller of ``obj``."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def owner_reference(owner: Object) -> Object:
    """Return an owner reference that makes ``owner`` the managing controller of a new object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_terminating(obj: Object) -> bool:
    """Return whether the object is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_finished(pod: Object) -> bool:
    """Return whether the pod has ended and will not run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def condition(obj: Object, kind: str) -> Object | None:
    """Return the condition of one type, or None."""
    for entry in (obj.get("status") or {}).get("conditions") or ():
        if entry["type"] == kind:
            return dict(entry)
    return None


def available_in_s(pod: Object, min_ready_s: int, now_s: float) -> float | None:
    """Return the seconds until the pod is available (0 means now), or None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or not is_ready(pod):
        return None
    return max(0.0, seconds(ready["lastTransitionTime"]) + min_ready_s - now_s) if min_ready_s else 0.0


def set_condition(
    conditions: list[Object], kind: str, status: bool, reason: str, message: str, **extra_fields: str
) -> list[Object]:
    """Return ``conditions`` with one condition replaced or added.

    ``lastTransitionTime`` changes only with the status.
    """
    value = "True" if status else "False"
    before = next((entry for entry in conditions if entry["type"] == kind), None)
    since = before["lastTransitionTime"] if before and before["status"] == value else timestamp()
    new = {"type": kind, "status": value, "lastTransitionTime": since, **extra_fields}
    if reason:
        new["reason"] = reason
    if message:
        new["message"] = message
    return [new if entry is before else entry for entry in conditions] if before else [*conditions, new]


def timestamp() -> str:
    """Return the current time in Kubernetes' format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """Convert a Kubernetes time to Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def scaled(value: int | str, total: int, *, up: bool) -> int:
    """Resolve a number or a percentage of ``total`` to a count, rounded up or down."""
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-percent * total // 100) if up else percent * total // 100
