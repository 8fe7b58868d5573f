"""Restore managedFields after a release, as if only the values of the weights had changed.

A JSON patch of a weight makes the patching manager the owner of the whole atomic list, so the owner's next
server-side apply would fail with a conflict. Therefore the ownership at the start is restored at the end:
fields that the release took over return to their previous manager; fields that others wrote in the meantime
stay theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshkit.kube.metadata import field_paths

Entry = Mapping[str, Any]
Path = tuple[str, ...]


def handed_back(saved: Sequence[Entry], current: Sequence[Entry], manager: str) -> list[Entry]:
    """Compute the managedFields to write at the end of a release.

    ``saved`` are those at the start, ``current`` those now; ``manager`` wrote the weights (by Update).
    """
    before, now = {_key(e): e for e in saved}, {_key(e): e for e in current}
    ours = {key for key in now if key[0] == manager and key[1] == "Update" and not key[3]}
    taken: set[Path] = set()
    for key in ours:
        taken |= field_paths(now[key]["fieldsV1"]) - field_paths(before.get(key, {}).get("fieldsV1", {}))
    owned = {key: field_paths(entry["fieldsV1"]) for key, entry in now.items()}
    given: set[Path] = set()
    for key, entry in before.items():
        back = field_paths(entry["fieldsV1"]) & taken
        if back and key not in ours:
            owned[key] = owned.get(key, set()) | back
            given |= back
    for key in ours:
        owned[key] -= given
    order = [*now, *(key for key in before if key not in now)]
    return [{**(now.get(k) or before[k]), "fieldsV1": _fields(owned[k])} for k in order if owned.get(k)]


def _key(entry: Entry) -> tuple[str, str, str, str]:
    return (
        entry.get("manager", ""),
        entry.get("operation", ""),
        entry.get("apiVersion", ""),
        entry.get("subresource", ""),
    )


def _fields(paths: Iterable[Path]) -> dict[str, Any]:
    """Convert members to a FieldsV1 set."""
    root: dict[str, Any] = {}
    members = sorted(paths)
    for path in members:
        node = root
        for name in path:
            node = node.setdefault(name, {})
    for path in members:
        node = root
        for name in path:
            node = node[name]
        if node:
            node["."] = {}
    return root
