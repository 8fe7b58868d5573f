"""Reading Kubernetes objects: owners, conditions, times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from meshkit.kube.pods import is_ready

Object = dict[str, Any]


def key_of(obj: Object) -> tuple[str, str]:
    """``(namespace, name)``; the namespace of a cluster-wide object is empty."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_of(obj: Object) -> Object | None:
    """The owner reference that manages the object, or None."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def controlled_by(obj: Object, owner: Object) -> bool:
    """Whether ``owner`` manages ``obj``."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def owner_reference(owner: Object) -> Object:
    """The reference that makes ``owner`` the manager of a new object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_terminating(obj: Object) -> bool:
    """Whether deletion has been asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_finished(pod: Object) -> bool:
    """Whether the pod has ended and will not run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def condition(obj: Object, kind: str) -> Object | None:
    """The condition of one type, or None."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each["type"] == kind:
            return dict(each)
    return None


def available_in_s(pod: Object, min_ready_s: int, now_s: float) -> float | None:
    """Seconds until the pod counts as available (0 = now), or None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or not is_ready(pod):
        return None
    return max(0.0, seconds(ready["lastTransitionTime"]) + min_ready_s - now_s) if min_ready_s else 0.0


def set_condition(
    conditions: list[Object], kind: str, status: bool, reason: str, message: str, **more: str
) -> list[Object]:
    """``conditions`` with one replaced or added.

    ``lastTransitionTime`` moves only when the status changes.
    """
    value = "True" if status else "False"
    before = next((each for each in conditions if each["type"] == kind), None)
    since = before["lastTransitionTime"] if before and before["status"] == value else timestamp()
    new = {"type": kind, "status": value, "lastTransitionTime": since, **more}
    if reason:
        new["reason"] = reason
    if message:
        new["message"] = message
    return [new if each is before else each for each in conditions] if before else [*conditions, new]


def timestamp() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """Unix seconds of a Kubernetes time."""
    return datetime.fromisoformat(text).timestamp()


def scaled(value: int | str, total: int, *, up: bool) -> int:
    """A count given as a number or as a percentage of ``total``, rounded up or down."""
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-percent * total // 100) if up else percent * total // 100
