"""Access to an object's metadata: labels, annotations, field managers and a readable title."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object

Labels = Mapping[str, str]


def labels(obj: Object) -> Labels:
    """The labels of an object, or of a pod template."""
    found: Labels = (obj.get("metadata") or {}).get("labels") or {}
    return found


def annotations_of(obj: Object) -> Labels:
    """The annotations of an object, or of a pod template.

    The plain name belongs to ``from __future__ import annotations``.
    """
    found: Labels = (obj.get("metadata") or {}).get("annotations") or {}
    return found


def group_of(obj: Object) -> str:
    """The API group of an object; empty for the core group."""
    return str(obj.get("apiVersion", "")).rpartition("/")[0]


def identity(obj: Object) -> tuple[str, str, str, str]:
    """Group, kind, namespace and name of an object, which are the same in all versions of its API."""
    meta = obj["metadata"]
    return group_of(obj), str(obj.get("kind", "")), str(meta.get("namespace") or ""), str(meta["name"])


def managers(obj: Object, *path: str) -> list[str]:
    """The field managers that own the field at a path of keys."""
    found = []
    for entry in obj["metadata"].get("managedFields") or ():
        node: Any = entry.get("fieldsV1") or {}
        for key in path:
            node = node.get(f"f:{key}") if isinstance(node, Mapping) else None
        if node is not None:
            found.append(str(entry["manager"]))
    return found


def field_paths(fields: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Convert a FieldsV1 set to its members; ``.`` and an empty mapping mark a member."""
    found: set[tuple[str, ...]] = set()
    for name, inner in fields.items():
        if name == ".":
            found.add(prefix)
        elif not inner:
            found.add((*prefix, name))
        else:
            found |= field_paths(inner, (*prefix, name))
    return found


def title(obj: Object) -> str:
    """Kind and name of an object: ``Deployment istio-system/istiod``."""
    meta = obj["metadata"]
    where = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj['kind']} {where}{meta['name']}"
