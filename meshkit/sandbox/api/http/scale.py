"""The ``scale`` subresource, which presents the replicas of any workload as a Scale object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.http.columns import at
from meshkit.sandbox.api.schema.registry import Resource

_PATHS = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": "",
}


def _paths(resource: Resource) -> Mapping[str, str]:
    return {**_PATHS, **(resource.scale_paths or {})}


def scale_of(resource: Resource, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Scale of a workload."""
    paths = _paths(resource)
    metadata = obj["metadata"]
    copied = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    if paths["labelSelectorPath"]:
        selector = at(obj, paths["labelSelectorPath"].lstrip(".")) or ""
    else:
        labels = at(obj, "spec.selector.matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
    scale_status = {"replicas": at(obj, paths["statusReplicasPath"].lstrip(".")) or 0}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in copied if key in metadata},
        "spec": {"replicas": at(obj, paths["specReplicasPath"].lstrip(".")) or 0},
        "status": scale_status | ({"selector": selector} if selector else {}),
    }


def with_replicas(resource: Resource, obj: Mapping[str, Any], scale: Mapping[str, Any]) -> dict[str, Any]:
    """Return the workload with the replicas and resourceVersion of a Scale."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        cause = status.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale", "autoscaling", obj["metadata"]["name"], [cause])
    changed: dict[str, Any] = copied(dict(obj))
    _put(resource, changed, replicas)
    changed["metadata"]["resourceVersion"] = (scale.get("metadata") or {}).get("resourceVersion", "")
    changed["apiVersion"] = resource.api_version
    return changed


def replicas_only(resource: Resource, scale: Mapping[str, Any]) -> dict[str, Any]:
    """Return the workload configuration that corresponds to an applied Scale configuration."""
    copied = {key: scale["metadata"][key] for key in ("name", "resourceVersion") if key in scale["metadata"]}
    config = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": copied}
    replicas = (scale.get("spec") or {}).get("replicas")
    if replicas is not None:
        _put(resource, config, replicas)
    return config


def _put(resource: Resource, obj: dict[str, Any], replicas: int) -> None:
    *parents, last = resource.replicas_path
    node = obj
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = replicas
