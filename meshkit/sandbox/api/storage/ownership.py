"""Field ownership (``metadata.managedFields``) and server-side apply.

A manager is a name, an operation (Apply or Update), a subresource and, for Update, an apiVersion. An Update
owns the fields that it changed and never conflicts. An Apply owns exactly the fields of its configuration.
Fields that are removed from the configuration are removed from the object unless another manager owns them.
Changing a field of another manager is a conflict. The rules follow Kubernetes' structured-merge-diff
(merge/update.go: Update, Apply, prune).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from meshkit.sandbox.api import status
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.types import Schema
from meshkit.sandbox.api.storage import fieldset
from meshkit.sandbox.api.storage.fieldset import NOTHING, Difference, Path, Paths

_NEVER_OWNED_METADATA = (
    "name", "namespace", "uid", "creationTimestamp", "selfLink", "generation", "resourceVersion",
    "managedFields", "clusterName",
)  # fmt: skip
_NEVER_OWNED: frozenset[Path] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {("f:metadata", f"f:{name}") for name in _NEVER_OWNED_METADATA}
)
_MAX_UPDATERS = 10  # of k8s.io/apiserver endpoints/handlers/fieldmanager
_ANCIENT = "ancient-changes"
_BEFORE_FIRST_APPLY = "before-first-apply"


class Manager(NamedTuple):
    """Identify an entry of managedFields."""

    name: str
    operation: str
    subresource: str
    api_version: str  # empty for Apply

    def __str__(self) -> str:
        words = f'"{self.name}"'
        if self.subresource:
            words += f' with subresource "{self.subresource}"'
        return f"{words} using {self.api_version}" if self.operation == "Update" else words


@dataclass(frozen=True)
class Entry:
    """Hold the fields that a manager owns.

    ``time`` is the time of its last write that changed the object, or empty.
    """

    paths: Paths
    time: str
    api_version: str


Owners = dict[Manager, Entry]


@dataclass(frozen=True)
class Endpoint:
    """Describe which fields can be owned through an API endpoint."""

    schema: Schema | None
    api_version: str
    subresource: str
    has_status: bool
    replicas: Path = ("f:spec", "f:replicas")

    def manager(self, name: str, operation: str) -> Manager:
        """Return the manager for a write through this endpoint."""
        return Manager(name, operation, self.subresource, "" if operation == "Apply" else self.api_version)

    def ignores(self, path: Path) -> bool:
        """Return whether a field cannot be owned through this endpoint."""
        if path in _NEVER_OWNED or path[:2] == ("f:metadata", "f:managedFields"):
            return True
        in_status = path[:1] == ("f:status",)
        if self.subresource == "status":
            return not in_status
        if self.subresource == "scale":
            return path != self.replicas
        return in_status and self.has_status

    def owned(self, paths: Iterable[Path]) -> Paths:
        """Return the paths that can be owned through this endpoint."""
        return frozenset(path for path in paths if not self.ignores(path))


def owners_of(obj: Mapping[str, Any]) -> Owners:
    """Return the owners in an object's ``metadata.managedFields``."""
    owners: Owners = {}
    for entry in obj["metadata"].get("managedFields") or ():
        if not entry:
            continue
        operation, api_version = entry.get("operation", "Update"), entry.get("apiVersion", "")
        manager = Manager(
            entry.get("manager", ""),
            operation,
            entry.get("subresource", ""),
            "" if operation == "Apply" else api_version,
        )
        paths = fieldset.decode(entry.get("fieldsV1") or {})
        owners[manager] = Entry(paths, entry.get("time", ""), api_version)
    return owners


def write_owners(obj: dict[str, Any], owners: Owners) -> None:
    """Write owners into ``metadata.managedFields`` in Kubernetes' order.

    Apply entries come first, then the others by time.
    """
    ordered = sorted(owners.items(), key=lambda item: (item[0].operation != "Apply", item[1].time, item[0]))
    obj["metadata"]["managedFields"] = [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": entry.api_version,
            **({"time": entry.time} if entry.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldset.encode(entry.paths),
            **({"subresource": manager.subresource} if manager.subresource else {}),
        }
        for manager, entry in ordered
    ]
    if not ordered:
        del obj["metadata"]["managedFields"]


def _set(owners: Owners, manager: Manager, paths: Paths, time: str, api_version: str) -> None:
    known = owners.get(manager)
    if not paths:
        owners.pop(manager, None)
    elif known is None or known.paths != paths:
        owners[manager] = Entry(paths, time, api_version)


def updated(
    live: Mapping[str, Any] | None, new: Mapping[str, Any], endpoint: Endpoint, manager_name: str, time: str
) -> Owners:
    """Return the owners after a create, update or patch that turned ``live`` into ``new``."""
    owners = owners_of(live) if live is not None else {}
    if new["metadata"].get("managedFields") is not None and not endpoint.subresource:
        with contextlib.suppress(ValueError, RecursionError):  # invalid managedFields are ignored
            owners = owners_of(new)
    if live is not None and not owners:
        return {}  # Kubernetes resumes tracking such an object with its first apply
    try:
        change = fieldset.compare(endpoint.schema, bare(live or {}), bare(new))
    except fieldset.BadListItem:
        return owners  # as in Kubernetes: the write succeeds without recorded ownership
    manager = endpoint.manager(manager_name, "Update")
    mine = owners[manager].paths if manager in owners else NOTHING
    touched = endpoint.owned(change.added | change.modified)
    removed = endpoint.owned(change.removed)
    for other in list(owners):
        if other != manager:
            _take(owners, other, touched | removed)
    if touched or removed:
        owners.pop(manager, None)  # renews the time even when the fields stay the same
    _set(owners, manager, (mine - removed) | touched, time, endpoint.api_version)
    _fold_ancient(owners)
    return owners


def _fold_ancient(owners: Owners) -> None:
    """Limit the Update entries by merging the oldest of each apiVersion (CapManagersManager)."""
    updaters = [manager for manager in owners if manager.operation == "Update"]
    excess = len(updaters) - _MAX_UPDATERS
    first_of: dict[str, Manager] = {}
    for manager in sorted(updaters, key=lambda candidate: (owners[candidate].time, candidate)):
        if excess <= 0:
            return
        bucket = Manager(_ANCIENT, "Update", "", manager.api_version)
        first = first_of.setdefault(manager.api_version, manager)
        if first is manager:
            continue
        entry = owners.pop(manager)
        folded = owners[bucket] if bucket in owners else owners.pop(first)
        owners[bucket] = Entry(folded.paths | entry.paths, entry.time, entry.api_version)
        excess -= 1


def _take(owners: Owners, other: Manager, paths: Iterable[Path]) -> None:
    entry = owners[other]
    remaining = entry.paths - frozenset(paths)
    if not remaining:
        del owners[other]
    elif remaining != entry.paths:
        owners[other] = replace(entry, paths=remaining)


def bare(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object without managedFields, which are not owned and slow to compare."""
    if "metadata" not in obj:
        return dict(obj)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


@dataclass(frozen=True)
class Applied:
    """Hold the result of an apply, the merged object before defaulting and its owners."""

    object: dict[str, Any]
    owners: Owners


def apply(
    live: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    endpoint: Endpoint,
    manager_name: str,
    time: str,
    *,
    force: bool,
    forced: Paths = NOTHING,
) -> Applied:
    """Merge a configuration into the live object.

    ``forced`` are fields that it may take without ``force``. Raises ApiError 409 with every conflict, or 500
    for an invalid list item.
    """
    owners = owners_of(live) if live is not None else {}
    if live is not None and not owners:
        owners = updated(None, live, endpoint, _BEFORE_FIRST_APPLY, time)
    manager = endpoint.manager(manager_name, "Apply")
    last = owners.get(manager, Entry(NOTHING, "", ""))
    schema = endpoint.schema
    before = bare(live or {})
    try:
        config_paths = frozenset(fieldset.applied(schema, config))
        merged = _merge(schema, before, _only(config, endpoint))
        _set(owners, manager, endpoint.owned(config_paths), last.time, endpoint.api_version)
        # The name is never owned, but the configuration's fields stay, and so does metadata.
        result = _prune(schema, merged, last.paths, owners, config_paths & _NEVER_OWNED)
        change = fieldset.compare(schema, before, result)
    except fieldset.BadListItem as error:
        raise status.bare(500, f"failed to create typed patch object: {error}") from error
    _settle(owners, manager, change, forced, force=force)
    if manager in owners and (change.added or change.modified or change.removed):
        owners[manager] = replace(owners[manager], time=time)
    return Applied(copied(result), owners)


def _only(config: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Return the part of a configuration that its endpoint accepts."""
    if endpoint.subresource == "status":
        return {
            key: value for key, value in config.items() if key in ("apiVersion", "kind", "metadata", "status")
        }
    if endpoint.has_status:
        return {key: value for key, value in config.items() if key != "status"}
    return dict(config)


def _merge(schema: Schema | None, live: Any, config: Any) -> Any:
    """Merge a configuration into the live value.

    Granular maps and lists are merged; everything else is replaced.
    """
    shape = schemas.shape(schema, config)
    if shape == "leaf" or type(live) is not type(config):
        return copied(config)
    if shape == "object":
        merged = dict(live)
        for name, value in config.items():
            below = schemas.member(schema, name)
            merged[name] = _merge(below, live[name], value) if name in live else copied(value)
        return merged
    below = schemas.items(schema)
    old = {child.element: child.value for child in fieldset.children(schema, live)}
    new = {child.element: child.value for child in fieldset.children(schema, config)}
    return fieldset.flat(
        _merge(below, old[element], new[element])
        if element in old and element in new
        else new.get(element, old.get(element))
        for element in _merged_order(list(old), list(new))
    )


def _merged_order(live: list[str], config: list[str]) -> list[str]:
    """Return the order of a merged list's items.

    Items only in the live list keep the live order; the others follow the configuration.
    """
    in_live, in_config = set(live), set(config)
    order: list[str] = []
    emitted: set[str] = set()
    pending = iter(config)
    upcoming = next(pending, None)
    for element in live:
        if element in emitted:
            continue
        if element not in in_config:
            order.append(element)
            continue
        while upcoming is not None and element not in emitted:
            order.append(upcoming)
            emitted.add(upcoming)
            upcoming = next(pending, None)
        while upcoming is not None and upcoming not in in_live:
            order.append(upcoming)
            emitted.add(upcoming)
            upcoming = next(pending, None)
    while upcoming is not None:
        order.append(upcoming)
        upcoming = next(pending, None)
    return order


def _prune(schema: Schema | None, merged: Any, last: Paths, owners: Owners, config_paths: Paths) -> Any:
    """Remove the fields of the applier's last configuration that no manager owns now."""
    if not last:
        return merged
    last_owned = fieldset.with_declared_ancestors(schema, last)
    all_owned: set[Path] = set(config_paths)
    for entry in owners.values():
        all_owned |= entry.paths
    owned = fieldset.with_declared_ancestors(schema, all_owned)
    all_paths = set(fieldset.every(schema, merged))
    without_last = set(fieldset.every(schema, fieldset.remove(schema, merged, last_owned)))
    remaining = fieldset.remove(schema, merged, all_paths - without_last - owned)
    removable = all_paths - set(fieldset.every(schema, remaining))
    return fieldset.remove(schema, merged, removable & last_owned)


def _settle(owners: Owners, manager: Manager, change: Difference, forced: Paths, *, force: bool) -> None:
    """Raise ApiError 409 for conflicts, or transfer ownership of the written fields."""
    written = change.added | change.modified
    others = [other for other in owners if other != manager]
    conflicts = {other: owners[other].paths & written - forced for other in others}
    if not force and any(conflicts.values()):
        raise _conflict(
            {other: sorted(paths, key=fieldset.text) for other, paths in conflicts.items() if paths}
        )
    for other in others:
        _take(owners, other, written | change.removed)


def _conflict(conflicts: Mapping[Manager, list[Path]]) -> status.ApiError:
    """Return the 409 error in Kubernetes' wording, which clients print unchanged."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {manager}",
            "field": fieldset.text(path),
        }
        for manager, paths in sorted(conflicts.items())
        for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = []
        for manager, paths in sorted(conflicts.items()):
            lines += [f"conflicts with {manager}:", *(f"- {fieldset.text(path)}" for path in paths)]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return status.ApiError(409, "Conflict", message, {"causes": causes})
