"""The part of somebody else's object that a change wrote: told from the rest, and put back without it.

A field is a path of keys, written as a JSON pointer; a list counts as one field. What the change left there
is kept as a salted hash, so that a later undo knows whether it still stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.cluster.api import MANAGER
from meshkit.cluster.diff import MISSING, content
from meshkit.facts import Object

Fields = Mapping[str, str]
"""JSON pointer -> the hash of what the change left there."""
Json = dict[str, Any]


def written(before: Object, after: Object, salt: str) -> Fields:
    """The fields in which a change made one state of an object into the other."""
    pairs = _different(content(before), content(after), "")
    return {pointer: _hash(value, salt) for pointer, value in pairs}


def changed_since(live: Object, prior: Object, fields: Fields, salt: str) -> list[str]:
    """The fields that hold neither what the change left nor what was there before."""
    return [
        pointer
        for pointer, left in fields.items()
        if _hash(value := at(live, pointer), salt) != left and value != at(prior, pointer)
    ]


def owners(live: Object, pointer: str) -> list[str]:
    """The field managers that own a field."""
    found = []
    for entry in live["metadata"].get("managedFields") or ():
        node: Any = entry.get("fieldsV1") or {}
        for key in _keys(pointer):
            node = node.get(f"f:{key}") if isinstance(node, Mapping) else None
        if node is not None:
            found.append(str(entry["manager"]))
    return found


def put_back(live: Object, prior: Object, fields: Fields) -> list[Json]:
    """The JSON patch that gives these fields their prior values; empty where they have them."""
    ops = []
    for pointer in fields:
        value = at(prior, pointer)
        if at(live, pointer) == value:
            continue
        ops.append(_removed(live, prior, pointer) if value is MISSING else set_to(live, pointer, value))
    return ops


def set_to(live: Object, pointer: str, value: Any) -> Json:
    """The JSON patch operation that sets a field, making the mappings above it where there are none."""
    keys = _keys(pointer)
    for depth in range(1, len(keys)):
        if at(live, above := pointer_to(*keys[:depth])) is MISSING:
            for key in reversed(keys[depth:]):
                value = {key: value}
            return {"op": "add", "path": above, "value": value}
    return {"op": "add", "path": pointer, "value": value}


def owners_back(live: Object, prior: Object, own: str) -> list[Json]:
    """managedFields: the change's ``own`` manager as it was, all others with what they had and have."""
    before = {_entry_key(entry): entry for entry in prior["metadata"].get("managedFields") or ()}
    found = []
    for entry in live["metadata"].get("managedFields") or ():
        was = before.pop(_entry_key(entry), None)
        if entry["manager"] == own or (was is None and _is_patch_of_ours(entry)):
            found += [dict(was)] if was else []
        else:
            fields = _united((was or {}).get("fieldsV1") or {}, entry.get("fieldsV1") or {})
            found.append({**entry, "fieldsV1": fields})
    return [*found, *map(dict, before.values())]


def _is_patch_of_ours(entry: Mapping[str, Any]) -> bool:
    """The entry that putting values back has made."""
    return bool(entry["manager"] == MANAGER and entry["operation"] == "Update")


def _entry_key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["manager"], entry["operation"], entry.get("subresource", "")


def _united(one: Mapping[str, Any], other: Mapping[str, Any]) -> Json:
    both = {key: _united(one[key], other[key]) for key in one if key in other}
    return {**one, **other, **both}


def _removed(live: Object, prior: Object, pointer: str) -> Json:
    """Take a field away, and the mappings above it that were made for it alone."""
    keys = _keys(pointer)
    while (
        len(keys) > 1
        and at(prior, pointer_to(*keys[:-1])) is MISSING
        and len(at(live, pointer_to(*keys[:-1]))) == 1
    ):
        keys = keys[:-1]
    return {"op": "remove", "path": pointer_to(*keys)}


def _different(before: Any, after: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(after, Mapping) and (isinstance(before, Mapping) or before is MISSING):
        known: Mapping[str, Any] = before if isinstance(before, Mapping) else {}
        for key in {**known, **after}:
            below = f"{pointer}/{_escaped(key)}"
            yield from _different(known.get(key, MISSING), after.get(key, MISSING), below)
    elif before is not after and before != after:
        yield pointer, after


def at(obj: Object, pointer: str) -> Any:
    """The value of a field, MISSING where there is none."""
    value: Any = obj
    for key in _keys(pointer):
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return value


def _keys(pointer: str) -> list[str]:
    return [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]


def pointer_to(*keys: str) -> str:
    """The JSON pointer of a path of keys."""
    return "".join(f"/{_escaped(key)}" for key in keys)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _hash(value: Any, salt: str) -> str:
    text = "" if value is MISSING else json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((salt + text).encode()).hexdigest()
