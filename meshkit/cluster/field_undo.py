"""Field-level undo for objects that meshkit does not own.

A field is a path of keys, written as a JSON pointer; a list counts as one field. The journal keeps a salted
hash of the value that the change wrote, so that a later undo can detect whether others have changed it.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from meshkit.cluster.api import MANAGER
from meshkit.cluster.diff import MISSING, content
from meshkit.facts import Object
from meshkit.kube.metadata import managers

Fields = Mapping[str, str]
"""JSON pointer -> the hash of the value that the change wrote."""
Left = Mapping[str, tuple[str, str]]
"""JSON pointer -> hashes with their salts, one for each change that wrote the field."""
Json = dict[str, Any]


def written(before: Object, after: Object, salt: str) -> Fields:
    """The fields that differ between two states of an object, with hashes of the new values."""
    pairs = _different(content(before), content(after), "")
    return {pointer: _hash(value, salt) for pointer, value in pairs}


def changed_since(live: Object, prior: Object, fields: Left) -> list[str]:
    """The fields that have neither the value that the change wrote nor the value before it."""
    return [
        pointer
        for pointer, (left, salt) in fields.items()
        if _hash(value := at(live, pointer), salt) != left and value != at(prior, pointer)
    ]


def owners(live: Object, pointer: str) -> list[str]:
    """The field managers that own a field."""
    return managers(live, *_keys(pointer))


def put_back(live: Object, prior: Object, pointers: Iterable[str]) -> list[Json]:
    """The JSON patch that restores the prior values of these fields; empty if they have them already."""
    ops: list[Json] = []
    state = copy.deepcopy(dict(live))
    for pointer in pointers:
        value = at(prior, pointer)
        if at(state, pointer) == value:
            continue
        op = _removed(state, prior, pointer) if value is MISSING else set_to(state, pointer, value)
        _carry_out(state, op)
        ops.append(op)
    return ops


def _carry_out(state: Json, op: Json) -> None:
    """Apply an operation to an object, so that later operations are computed from the result."""
    *above, last = _keys(op["path"])
    for key in above:
        state = state[key]
    if op["op"] == "remove":
        del state[last]
    else:
        state[last] = op["value"]


def set_to(live: Object, pointer: str, value: Any) -> Json:
    """The JSON patch operation that sets a field and creates missing mappings above it."""
    keys = _keys(pointer)
    for depth in range(1, len(keys)):
        if at(live, above := pointer_to(*keys[:depth])) is MISSING:
            for key in reversed(keys[depth:]):
                value = {key: value}
            return {"op": "add", "path": above, "value": value}
    return {"op": "add", "path": pointer, "value": value}


def owners_back(live: Object, prior: Object, own: Container[str], pointers: Iterable[str]) -> list[Json]:
    """The managedFields to set after these fields are restored.

    The change's ``own`` managers get their prior entries; every other manager keeps its present entry and
    gets back the restored fields that it owned before.
    """
    pointers = list(pointers)
    before = {entry_key(entry): entry for entry in prior["metadata"].get("managedFields") or ()}
    found = []
    for entry in live["metadata"].get("managedFields") or ():
        was = before.pop(entry_key(entry), None)
        if entry["manager"] in own or _is_patch_of_ours(entry):
            found += [dict(was)] if was else []
        else:
            found.append({**entry, "fieldsV1": _united(entry.get("fieldsV1") or {}, _only(was, pointers))})
    found += (dict(was) for was in before.values() if was["manager"] in own)
    gone = ({**was, "fieldsV1": _only(was, pointers)} for was in before.values() if was["manager"] not in own)
    return [*found, *(entry for entry in gone if entry["fieldsV1"])]


def _only(entry: Object | None, pointers: Iterable[str]) -> Json:
    """The part of an entry's field set that covers these fields."""
    kept: Json = {}
    for pointer in pointers:
        node: Any = (entry or {}).get("fieldsV1") or {}
        path = [f"f:{key}" for key in _keys(pointer)]
        for key in path:
            node = node.get(key) if isinstance(node, Mapping) else None
        if node is not None:
            for key in reversed(path):
                node = {key: node}
            kept = _united(kept, node)
    return kept


def _is_patch_of_ours(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is the one that the restoring patch writes to."""
    return bool(entry["manager"] == MANAGER and entry["operation"] == "Update")


def entry_key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """The key that identifies an entry of managedFields."""
    return entry["manager"], entry["operation"], entry.get("subresource", "")


def _united(one: Mapping[str, Any], other: Mapping[str, Any]) -> Json:
    both = {key: _united(one[key], other[key]) for key in one if key in other}
    return {**one, **other, **both}


def _removed(live: Object, prior: Object, pointer: str) -> Json:
    """The operation that removes a field, or the topmost mapping that was created only for it."""
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
            below = f"{pointer}/{escaped(key)}"
            yield from _different(known.get(key, MISSING), after.get(key, MISSING), below)
    elif before is not after and before != after:
        yield pointer, after


def at(obj: Object, pointer: str) -> Any:
    """The value of a field, or MISSING."""
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
    return "".join(f"/{escaped(key)}" for key in keys)


def escaped(key: str) -> str:
    """A key, escaped for a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _hash(value: Any, salt: str) -> str:
    text = "" if value is MISSING else json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((salt + text).encode()).hexdigest()
