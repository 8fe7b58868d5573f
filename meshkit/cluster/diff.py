"""The differences between two states of an object, field by field, with the owners of each field.

Only fields that users and planners write are compared. Server-side metadata, status and the fields that
controllers write to objects of others are ignored, so that a rollout does not count as a change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.facts import Object

MISSING = object()
"""The value of a field that does not exist; ``None`` is a valid value."""

_SECRET = "(secret)"
_BOOKKEEPING = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)
_BY_CONTROLLERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "Deployment": (("metadata", "annotations", "deployment.kubernetes.io/revision"),),
    "MutatingWebhookConfiguration": (("webhooks", "*", "clientConfig", "caBundle"),),
    "Node": (("spec", "taints"),),
    "Service": (("spec", "clusterIP"), ("spec", "clusterIPs")),
    "ServiceAccount": (("secrets",),),
}

Owners = tuple[tuple[str, Mapping[str, Any]], ...]
"""(manager, the part of its field set below the present path)."""


@dataclass(frozen=True)
class FieldChange:
    """A changed field: path (``spec.http[0].timeout``), values (``None`` if absent) and present owners."""

    path: str
    before: Any
    after: Any
    owners: tuple[str, ...] = ()


def content(obj: Object) -> dict[str, Any]:
    """An object without status, server-side metadata and the fields that controllers write."""
    kept: dict[str, Any] = json.loads(json.dumps({k: v for k, v in obj.items() if k != "status"}))
    for key in _BOOKKEEPING:
        kept["metadata"].pop(key, None)
    for path in _BY_CONTROLLERS.get(str(obj.get("kind")), ()):
        _remove(kept, path)
    for key in ("annotations", "labels"):
        if not kept["metadata"].get(key, True):
            del kept["metadata"][key]
    return kept


def digest(obj: Object | None, salt: str = "") -> str:
    """A hash of an object's content, empty for None. The salt protects the values of Secrets."""
    if obj is None:
        return ""
    text = json.dumps(content(obj), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((salt + text).encode()).hexdigest()


def changes(before: Object | None, after: Object) -> tuple[FieldChange, ...]:
    """The fields that differ, in the order of ``after``. Values of Secrets are hidden."""
    owners: Owners = ()
    if before is not None:
        entries = before["metadata"].get("managedFields") or ()
        owners = tuple((entry["manager"], entry.get("fieldsV1") or {}) for entry in entries)
    found = tuple(_walk(content(before) if before else {}, content(after), "", owners))
    if after.get("kind") != "Secret":
        return found
    return tuple(FieldChange(c.path, _hidden(c, c.before), _hidden(c, c.after), c.owners) for c in found)


def _hidden(change: FieldChange, value: Any) -> Any:
    return _SECRET if value is not None and change.path.startswith(("data", "stringData")) else value


def _walk(before: Any, after: Any, path: str, owners: Owners) -> Iterator[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*after, *(key for key in before if key not in after)):
            step = f"{path}.{key}" if path else key
            if "." in key or "/" in key:
                step = f"{path}[{key}]"
            below = _below(owners, f"f:{key}")
            yield from _walk(before.get(key, MISSING), after.get(key, MISSING), step, below)
    elif isinstance(before, list) and isinstance(after, list) and before != after:
        for i in range(max(len(before), len(after))):
            old = before[i] if i < len(before) else MISSING
            new = after[i] if i < len(after) else MISSING
            yield from _walk(old, new, f"{path}[{i}]", _item(owners, old if new is MISSING else new))
    elif before is not after and before != after:
        names = tuple(dict.fromkeys(manager for manager, _ in owners))
        yield FieldChange(path, _or_none(before), _or_none(after), names)


def _or_none(value: Any) -> Any:
    return None if value is MISSING else value


def _below(owners: Owners, key: str) -> Owners:
    """The field sets below a key; a leaf owns everything below it."""
    return tuple((manager, fields.get(key, {})) for manager, fields in owners if not fields or key in fields)


def _item(owners: Owners, item: Any) -> Owners:
    """The field sets of a list item, found by its merge keys."""
    found = []
    for manager, fields in owners:
        if not fields:
            found.append((manager, fields))
        for key, inner in fields.items():
            if (key.startswith("k:") and isinstance(item, dict) and _names(json.loads(key[2:]), item)) or (
                key.startswith("v:") and json.loads(key[2:]) == item
            ):
                found.append((manager, inner))
    return tuple(found)


def _names(keys: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    return all(item.get(key, MISSING) == value for key, value in keys.items())


def _remove(value: Any, path: tuple[str, ...]) -> None:
    head, *rest = path
    if head == "*":
        for item in value if isinstance(value, list) else ():
            _remove(item, tuple(rest))
    elif isinstance(value, dict) and head in value:
        if rest:
            _remove(value[head], tuple(rest))
        else:
            del value[head]
