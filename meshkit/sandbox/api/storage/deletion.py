"""Compute how a DELETE changes an object, which is either removed or marked and kept by finalizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.requests import DeleteOptions, Object, now
from meshkit.sandbox.api.schema.registry import Resource


def marked(resource: Resource, obj: Mapping[str, Any], delete: DeleteOptions) -> Object:
    """Return the object marked as being deleted.

    Sets the deletion timestamp, the grace period and the finalizers of the propagation policy.
    """
    new = copied(dict(obj))
    metadata = new["metadata"]
    finalizers = _finalizers(metadata, delete.propagation)
    if finalizers != metadata.get("finalizers", []):
        metadata["finalizers"] = finalizers
    grace_s = _grace_s(resource, obj, delete)
    if "deletionTimestamp" not in metadata or grace_s < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = now(after_s=grace_s)
        metadata["deletionGracePeriodSeconds"] = grace_s
    if resource.key == "namespaces":
        new["status"] = {**new.get("status", {}), "phase": "Terminating"}
    return new


def _finalizers(metadata: Mapping[str, Any], propagation: str | None) -> list[str]:
    present = metadata.get("finalizers", [])
    if propagation is None:
        return list(present)
    others = [finalizer for finalizer in present if finalizer not in ("orphan", "foregroundDeletion")]
    return others + {"Orphan": ["orphan"], "Foreground": ["foregroundDeletion"]}.get(propagation, [])


def _grace_s(resource: Resource, obj: Mapping[str, Any], delete: DeleteOptions) -> int:
    """Return the grace period in seconds.

    Only scheduled pods have one, 30 s unless the pod or the request sets another.
    """
    if resource.key != "pods" or not obj["spec"].get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    requested = delete.grace_period_s
    return int(obj["spec"].get("terminationGracePeriodSeconds", 30)) if requested is None else requested


def may_go(resource: Resource, obj: Mapping[str, Any]) -> bool:
    """Return whether nothing delays the removal of an object that is being deleted."""
    if resource.key == "namespaces" or obj["metadata"].get("finalizers"):
        return False
    return not obj["metadata"].get("deletionGracePeriodSeconds")
