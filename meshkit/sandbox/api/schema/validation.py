"""Prune, default and validate objects against their schema.

The same code handles built-in kinds and custom resources. Messages match Kubernetes' own validation, because
clients and users know them: ``spec.http[0].weight: Invalid value: "string": ... must be of type
integer: "string"``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.meshes.model import patterns
from meshkit.sandbox.api import status
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.registry import CRDS, Resource
from meshkit.sandbox.api.schema.types import Schema
from meshkit.sandbox.api.status import Cause

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_SCALARS = {"string": str, "integer": int, "boolean": bool}
_MORE = frozenset(
    {
        *("enum", "minimum", "maximum", "minLength", "maxLength", "pattern"),
        *("allOf", "anyOf", "oneOf", "not", "x-kubernetes-int-or-string"),
    }
)
"""What a schema may ask of a scalar besides its type."""
_MAX_STEPS = 500_000
_FEW = 16  # entries that are not worth counting
_SIZES: dict[type, tuple[str, str]] = {
    str: ("Length", "chars long"),
    list: ("Items", "items"),
    dict: ("Properties", "properties"),
}


class _Work(threading.local):
    """Count down the steps that one validation may take.

    In the worst case a validation takes the product of the sizes of schema and value.
    """

    remaining_steps = 0

    def begin(self) -> None:
        self.remaining_steps = _MAX_STEPS

    def spend(self, steps: int) -> None:
        self.remaining_steps -= steps
        if self.remaining_steps < 0:
            raise status.too_large("the object takes too long to validate against its schema")


_work = _Work()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _parts(schema: Schema | None, value: Any, path: str) -> Iterator[tuple[Schema | None, Any, str]]:
    """Yield the children of a value with their schemas and paths."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield schemas.member(schema, name), child, _join(path, name)
    elif isinstance(value, list):
        below = schemas.items(schema)
        for index, child in enumerate(value):
            yield below, child, f"{path}[{index}]"


def _nested(schema: Schema | None, value: Any) -> Iterator[tuple[Schema | None, Any]]:
    """Yield those children of a value that are maps or lists, with their schemas."""
    if isinstance(value, dict):
        for name, child in value.items():
            if isinstance(child, (dict, list)):
                yield schemas.member(schema, name), child
    elif isinstance(value, list):
        below = schemas.items(schema)
        for child in value:
            if isinstance(child, (dict, list)):
                yield below, child


def prune(schema: Schema | None, value: Any, path: str = "") -> list[str]:
    """Remove unknown fields in place and return their paths."""
    if schema is None:
        return []
    dropped: list[str] = []
    for name in list(value) if isinstance(value, dict) else ():
        if not schemas.takes(schema, name):
            del value[name]
            dropped.append(_join(path, name))
        elif isinstance(value[name], (dict, list)):
            dropped += prune(schemas.member(schema, name), value[name], _join(path, name))
    if isinstance(value, list):
        for below, child, where in _parts(schema, value, path):
            dropped += prune(below, child, where)
    return dropped


def drop_nulls(schema: Schema | None, value: Any) -> None:
    """Remove null fields unless their schema is nullable, in place.

    Decoding into a Go struct has the same effect.
    """
    if isinstance(value, dict):
        for name in [name for name, child in value.items() if child is None]:
            below = schemas.member(schema, name)
            if below is not None and not below.get("nullable"):
                del value[name]
    for below, child in _nested(schema, value):
        drop_nulls(below, child)


def drop_empty(resource: Resource, obj: dict[str, Any]) -> None:
    """Remove the empty values that Kubernetes omits when it encodes an object, in place.

    These are empty lists and maps of metadata, and the empty maps of a built-in kind. A
    CustomResourceDefinition keeps its empty maps, because an empty ``properties`` differs from an absent one.
    """
    metadata = obj["metadata"]
    for name in [
        name for name, field in metadata.items() if field in ([], {}, None) and name != "managedFields"
    ]:
        del metadata[name]
    if not resource.custom and resource.key != CRDS:
        _drop_empty_maps(resource.schema, obj)


def _drop_empty_maps(schema: Schema | None, value: Any) -> None:
    if isinstance(value, dict):
        for name in [name for name, child in value.items() if child == {}]:
            below = schemas.member(schema, name)
            if below is not None and below.get("additionalProperties"):
                del value[name]
    for below, child in _nested(schema, value):
        _drop_empty_maps(below, child)


def fill_defaults(schema: Schema | None, value: Any) -> None:
    """Set the schema's defaults for missing values, in place.

    Raises ApiError 413 when there are too many.
    """
    _work.begin()
    _fill_defaults(schema, value)


def _fill_defaults(schema: Schema | None, value: Any) -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        _work.spend(len(properties))
        for name, declared in properties.items():
            absent = name not in value or (value[name] is None and not declared.get("nullable"))
            if "default" in declared and absent:
                default = declared["default"]
                if isinstance(default, (str, dict, list)):
                    _work.spend(1 + bodies.size_bytes(default) // 8)
                value[name] = copied(default)
    for below, child in _nested(schema, value):
        _fill_defaults(below, child)


def find_causes(schema: Schema | None, value: Any, path: str = "") -> Iterator[Cause]:
    """Yield the schema errors of a value. Raises ApiError 413 when validation takes too long."""
    _work.begin()
    yield from _find_causes(schema, value, path)


def _find_causes(schema: Schema | None, value: Any, path: str) -> Iterator[Cause]:
    if schema is None:
        return
    if value is None:
        if not schema.get("nullable") and "type" in schema:
            yield _wrong_type(path, schema["type"], "null")
        return
    wrong = _type_cause(schema, value, path)
    if wrong is not None:
        yield wrong
        return
    yield from _own_causes(schema, value, path)
    if isinstance(value, dict):
        _work.spend(len(value))
        for name, child in value.items():
            below = schemas.member(schema, name)
            if below is not None and not _fits_plainly(below, child):
                yield from _find_causes(below, child, _join(path, name))
    elif isinstance(value, list):
        _work.spend(len(value))
        below = schemas.items(schema)
        for index, child in enumerate(value):
            if below is not None and not _fits_plainly(below, child):
                yield from _find_causes(below, child, f"{path}[{index}]")


def _fits_plainly(schema: Schema, value: Any) -> bool:
    """Return whether the schema asks nothing of a value but its type, and the value is a scalar of it.

    Most values of an object are such; this is a short way to no cause.
    """
    wanted = schema.get("type")
    return isinstance(wanted, str) and type(value) is _SCALARS.get(wanted) and _MORE.isdisjoint(schema)


def repeated(schema: Schema | None, value: Any, path: str = "") -> Iterator[Cause]:
    """Yield the duplicate items of sets and keyed lists, which a custom resource must not contain."""
    shape = schemas.shape(schema, value)
    if shape in ("map", "set"):
        keys = schemas.list_keys(schema)
        seen: set[str] = set()
        for index, item in enumerate(value):
            item_key = {key: item[key] for key in keys if key in item} if shape == "map" else item
            item_text = json.dumps(item_key, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            if item_text in seen:
                yield Cause(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {item_text}")
            seen.add(item_text)
    for below, item, where in _parts(schema, value, path):
        yield from repeated(below, item, where)


def _wrong_type(path: str, wanted: str, got: str) -> Cause:
    message = f'Invalid value: "{got}": {path} in body must be of type {wanted}: "{got}"'
    return Cause(path, "FieldValueTypeInvalid", message)


def _type_cause(schema: Schema, value: Any, path: str) -> Cause | None:
    if schema.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, (int, str)) and not isinstance(value, bool)
        return None if fits else _wrong_type(path, "integer,string", _name_of(value))
    wanted = schema.get("type")
    if not isinstance(wanted, str):
        return None
    fits = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    return None if fits else _wrong_type(path, wanted, _name_of(value))


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(name for name, kinds in _TYPES.items() if isinstance(value, kinds))


def _own_causes(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    """Yield the errors of the value itself, excluding its children."""
    if isinstance(value, dict):
        required = schema.get("required", ())
        if len(required) > _FEW:
            _work.spend(len(required))
        for name in required:
            if name not in value:
                yield status.required(_join(path, name))
    enum = schema.get("enum")
    if enum is not None and len(enum) > _FEW:
        _work.spend(len(enum))
    if enum is not None and value not in enum:
        allowed = ", ".join(f'"{option}"' for option in enum)
        yield Cause(
            path, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {allowed}'
        )
    yield from _bounds(schema, value, path)
    yield from _branches(schema, value, path)


def _bounds(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and value < low:
            yield status.invalid_value(
                path, value, f"{path} in body should be greater than or equal to {low}"
            )
        if high is not None and value > high:
            yield status.invalid_value(path, value, f"{path} in body should be less than or equal to {high}")
    suffix, unit = _SIZES.get(type(value), ("", ""))
    if suffix:
        least, most = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} {unit}"
            yield status.invalid_value(path, _shown(value), why)
        if most is not None and len(value) > most:
            yield Cause(path, "FieldValueTooLong", f"Too long: may not be more than {most} {unit}")
    pattern = schema.get("pattern")
    if pattern and isinstance(value, str):
        try:
            fits = patterns.matches(pattern, value)
        except patterns.TooCostly as error:
            yield Cause(path, "FieldValueTooLong", f"Too long: {error}")
        except patterns.Unreadable:
            pass  # RE2 may read it
        else:
            if not fits:
                yield status.invalid_value(path, value, f"{path} in body should match '{pattern}'")


def _branches(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    """Yield the errors of allOf, anyOf, oneOf and not."""
    if schema.get("x-kubernetes-int-or-string"):
        return
    for branch in schema.get("allOf", ()):
        _work.spend(1)
        yield from _find_causes(schemas.resolve(branch), value, path)
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        if branches:
            _work.spend(len(branches))
            passing = sum(
                1
                for branch_schema in branches
                if not any(_find_causes(schemas.resolve(branch_schema), value, path))
            )
            if passing == 0 or (word == "oneOf" and passing > 1):
                only = "one and only one" if word == "oneOf" else "at least one"
                yield status.invalid_value(
                    path, _shown(value), f"{path or '<root>'} must validate {only} schema ({word})"
                )
    unwanted = schema.get("not")
    if isinstance(unwanted, Mapping) and not any(_find_causes(unwanted, value, path)):
        yield status.invalid_value(
            path, _shown(value), f"{path or '<root>'} must not validate the schema (not)"
        )


def _shown(value: Any) -> object:
    return value if isinstance(value, (str, int, float)) else _name_of(value)
