"""Fields of an object that the API server sets and clients cannot change.

These are the identity, timestamps and generation in ``metadata``, and ``status`` outside its subresource.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.requests import Object, Target, now
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage import ownership

_SYSTEM_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)
_WITHOUT_GENERATION = {
    "leases.coordination.k8s.io",
    "limitranges",
    "namespaces",
    "nodes",
    "resourcequotas",
    "services",
}
_KEEPS_STATUS_ON_CREATE = {"nodes", "namespaces"}


def remove(resource: Resource, new: Object) -> None:
    """Remove the values that a client sent for these fields with a new object."""
    if "status" in resource.subresources and resource.key not in _KEEPS_STATUS_ON_CREATE:
        new.pop("status", None)
    for name in (*_SYSTEM_METADATA, "resourceVersion", "selfLink"):
        new["metadata"].pop(name, None)


def begin(resource: Resource, new: Object) -> None:
    """Set the fields of a new object."""
    new["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    if _counts_generations(resource):
        new["metadata"]["generation"] = 1


def carried_over(target: Target, before: Mapping[str, Any], new: Object) -> Object:
    """Return the new object with the fields that this endpoint cannot change copied from the old one."""
    if target.subresource == "status":
        result: Object = copied(dict(before))
        result.pop("status", None)
        return result | ({"status": new["status"]} if "status" in new else {})
    if "status" in target.resource.subresources:
        new.pop("status", None)
        if "status" in before:
            new["status"] = copied(before["status"])
    if target.resource.key == "namespaces":
        new.setdefault("spec", {})["finalizers"] = list(before["spec"].get("finalizers", ()))
    for name in _SYSTEM_METADATA:
        new["metadata"].pop(name, None)
        if name in before["metadata"]:
            new["metadata"][name] = before["metadata"][name]
    return new


def count_generation(resource: Resource, before: Mapping[str, Any], new: Object) -> None:
    """Increment ``generation`` if a field other than metadata and status has changed."""
    if _counts_generations(resource) and _generation_fields(before) != _generation_fields(new):
        new["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1


def is_unchanged(before: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a write changes nothing, ignoring the timestamps of managedFields."""
    if {**before, "metadata": None} != {**new, "metadata": None}:
        return False
    old, now_ = dict(before["metadata"]), dict(new["metadata"])
    owned, owned_now = ownership.owners_of(before), ownership.owners_of(new)
    old.pop("managedFields", None)
    now_.pop("managedFields", None)
    return old == now_ and {k: e.paths for k, e in owned.items()} == {
        k: e.paths for k, e in owned_now.items()
    }


def _counts_generations(resource: Resource) -> bool:
    return resource.custom or (
        "spec" in resource.schema["properties"] and resource.key not in _WITHOUT_GENERATION
    )


def _generation_fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
