"""The three patch types of Kubernetes, JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge.

Strategic merge patches read merge keys from the schema (``x-kubernetes-patch-*``) and support the directives
``$patch``, ``$setElementOrder/F``, ``$deleteFromPrimitiveList/F`` and ``$retainKeys``. No function modifies
its input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.types import Schema

MAX_OPERATIONS = 10_000  # of k8s.io/apiserver endpoints/handlers/patch.go
MAX_COPIED_BYTES = 3 << 20  # JSONPatchMaxCopyBytes of k8s.io/apiserver


class TooLarge(Exception):
    """Raised when a patch has more operations than allowed."""


class PatchFailed(Exception):
    """Raised when a patch does not apply to the object.

    ``malformed`` is true for a patch that is invalid for every object.
    """

    def __init__(self, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.malformed = malformed


# --- JSON patch


def json_patch(target: Any, operations: Any) -> Any:
    """Apply a list of operations. Raises PatchFailed at the first operation that does not apply."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise PatchFailed("a JSON patch must be a list of operations", malformed=True)
    if len(operations) > MAX_OPERATIONS:
        raise TooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    result = copied(target)
    copied_bytes = 0
    for operation in operations:
        if operation.get("op") == "copy":
            copied_bytes += bodies.size_bytes(_get(result, str(operation.get("from", ""))))
            if copied_bytes > MAX_COPIED_BYTES:
                raise PatchFailed(
                    "Unable to complete the copy, the accumulated size increase of copy is "
                    f"{copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
                )
        result = _operate(result, operation)
    return result


def _operate(document: Any, operation: Mapping[str, Any]) -> Any:
    name, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise PatchFailed(f"a JSON patch path must start with /: {path!r}", malformed=True)
    if name in ("add", "replace", "test") and "value" not in operation:
        raise PatchFailed(f"{name} operation has no value", malformed=True)
    if name == "move":
        source = str(operation.get("from", ""))
        value = _get(document, source)
        if path.startswith(f"{source}/"):
            raise PatchFailed(f"unable to move {source} into itself at {path}")
        return _add(_remove(document, source), path, value)
    if name == "copy":
        return _add(document, path, copied(_get(document, str(operation.get("from", "")))))
    value = copied(operation.get("value"))
    if name == "test":
        if _get(document, path) != value:
            raise PatchFailed(f"testing value {path} failed")
        return document
    if name == "add":
        return _add(document, path, value)
    if name == "remove":
        return _remove(document, path)
    if name == "replace":
        return _replace(document, path, value)
    raise PatchFailed(f"unknown JSON patch operation {name!r}")


def _tokens(path: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _step(node: Any, token: str, path: str) -> Any:
    try:
        return node[int(token)] if isinstance(node, list) else node[token]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise PatchFailed(f"unable to find {path}: nothing at {token!r}") from error


def _get(document: Any, path: str) -> Any:
    for token in _tokens(path):
        document = _step(document, token, path)
    return document


def _parent(document: Any, path: str) -> tuple[Any, str]:
    tokens = _tokens(path)
    if not tokens:
        raise PatchFailed("the whole document cannot be removed or moved")
    for token in tokens[:-1]:
        document = _step(document, token, path)
    return document, tokens[-1]


def _add(document: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    parent, token = _parent(document, path)
    if isinstance(parent, list):
        index = len(parent) if token == "-" else _index(token, path)
        if not 0 <= index <= len(parent):
            raise PatchFailed(f"unable to add {path}: index {index} out of bounds")
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[token] = value
    else:
        raise PatchFailed(f"unable to add {path}: the parent is neither an object nor a list")
    return document


def _index(token: str, path: str) -> int:
    try:
        return int(token)
    except ValueError as error:
        raise PatchFailed(f"{path}: {token!r} is not an index") from error


def _replace(document: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    parent, token = _parent(document, path)
    if not isinstance(parent, dict):  # a missing field is added, as Kubernetes' library does
        _step(parent, token, path)
    parent[int(token) if isinstance(parent, list) else token] = value
    return document


def _remove(document: Any, path: str) -> Any:
    parent, token = _parent(document, path)
    _step(parent, token, path)
    del parent[int(token) if isinstance(parent, list) else token]
    return document


# --- merge patch


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a merge patch, which merges objects, removes null fields and replaces everything else."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


# --- strategic merge patch

_DIRECTIVES = ("$setElementOrder/", "$deleteFromPrimitiveList/")


def strategic_patch(schema: Schema | None, target: Any, patch: Any) -> Any:
    """Apply a strategic merge patch, which merges lists with a merge key item by item."""
    if not isinstance(patch, dict):
        raise PatchFailed("a strategic merge patch must be an object", malformed=True)
    if patch.get("$patch") == "replace":
        return {name: copied(value) for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        retained = set(map(_identity, _list_in("$retainKeys", patch["$retainKeys"])))
        result = {name: value for name, value in result.items() if _identity(name) in retained}
    for name, value in patch.items():
        if name in ("$patch", "$retainKeys") or name.startswith(_DIRECTIVES):
            continue
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _strategic_value(schemas.member(schema, name), result.get(name), value)
    _directives(schema, result, patch)
    return result


def _strategic_value(schema: Schema | None, old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return strategic_patch(schema, old, new)
    merges = schema is not None and "merge" in schema.get("x-kubernetes-patch-strategy", "").split(",")
    if isinstance(new, list) and merges and schema is not None:
        before = old if isinstance(old, list) else []
        key = schema.get("x-kubernetes-patch-merge-key")
        return _merge_list(schemas.items(schema), key, before, new) if key else _union(before, new)
    return copied(new)


def _identity(value: Any) -> str:
    """Return a text that is equal for equal values."""
    return json.dumps(value, sort_keys=True)


def _list_in(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PatchFailed(f"{name} in a strategic merge patch must be a list", malformed=True)
    return value


def _union(old: list[Any], new: list[Any]) -> list[Any]:
    known = set(map(_identity, old))
    return [*old, *(value for value in new if _identity(value) not in known)]


def _merge_list(schema: Schema | None, key: str, old: list[Any], new: list[Any]) -> list[Any]:
    if not all(isinstance(item, dict) for item in (*old, *new)):
        raise PatchFailed(f"a list with the merge key {key} must contain objects only", malformed=True)
    if any(item.get("$patch") == "replace" for item in new):
        return [copied(item) for item in new if "$patch" not in item]
    result: dict[str, Any] = {}
    # Of several items with one key, a patch merges the first item only, and deletes all of them.
    duplicates: dict[str, list[str]] = {}
    for index, item in enumerate(old):
        name = slot = _identity(item.get(key))
        if name in result:
            slot = f"{name}#{index}"
            duplicates.setdefault(name, []).append(slot)
        result[slot] = item
    for item in new:
        if key not in item:
            raise PatchFailed(f"map: {item} does not contain declared merge key: {key}", malformed=True)
        name = _identity(item[key])
        if item.get("$patch") == "delete":
            for slot in (name, *duplicates.pop(name, ())):
                result.pop(slot, None)
        else:
            result[name] = strategic_patch(schema, result.get(name, {}), item)
    return list(result.values())


def _directives(schema: Schema | None, result: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for name, value in patch.items():
        directive, _, field = name.partition("/")
        if not isinstance(result.get(field), list):
            continue
        if directive == "$deleteFromPrimitiveList":
            unwanted = set(map(_identity, _list_in(name, value)))
            result[field] = [item for item in result[field] if _identity(item) not in unwanted]
        elif directive == "$setElementOrder":
            key = (schemas.member(schema, field) or {}).get("x-kubernetes-patch-merge-key")
            result[field] = _ordered(result[field], _list_in(name, value), key)


def _ordered(values: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """Sort the values that ``order`` lists, leaving the positions of the other values unchanged."""

    def of(value: Any) -> str:
        return _identity(value.get(key) if key and isinstance(value, dict) else value)

    places = {of(value): place for place, value in reversed(list(enumerate(order)))}
    names = [of(value) for value in values]
    listed = iter(
        sorted(
            (value for value, name in zip(values, names, strict=True) if name in places),
            key=lambda value: places[of(value)],
        )
    )
    return [next(listed) if name in places else value for value, name in zip(values, names, strict=True)]
