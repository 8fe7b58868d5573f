"""What a DELETE makes of an object: gone at once, or marked and held by its finalizers, its node or its
content."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api.requests import DeleteOptions, Object, now
from meshkit.sandbox.api.schema.registry import Resource


def marked(resource: Resource, obj: Mapping[str, Any], delete: DeleteOptions) -> Object:
    """The object with the marks of deletion: finalizers that the caller asks for, the time when it is due."""
    new = copy.deepcopy(dict(obj))
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
    kept = [each for each in present if each not in ("orphan", "foregroundDeletion")]
    return kept + {"Orphan": ["orphan"], "Foreground": ["foregroundDeletion"]}.get(propagation, [])


def _grace_s(resource: Resource, obj: Mapping[str, Any], delete: DeleteOptions) -> int:
    """Only a pod that a node runs is given time; 30 s unless it or the caller says otherwise."""
    if resource.key != "pods" or not obj["spec"].get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    asked = delete.grace_period_s
    return int(obj["spec"].get("terminationGracePeriodSeconds", 30)) if asked is None else asked


def may_go(resource: Resource, obj: Mapping[str, Any]) -> bool:
    """Whether an object that is being deleted holds nothing back."""
    if resource.key == "namespaces" or obj["metadata"].get("finalizers"):
        return False
    return not obj["metadata"].get("deletionGracePeriodSeconds")
