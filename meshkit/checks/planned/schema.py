"""Validate objects against a CustomResourceDefinition that the same plan installs.

It validates types, required fields, enums and unknown fields. CEL rules, patterns and ``oneOf`` are left to
the server, which dry-runs the object as soon as the definition is installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Object

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")


def problems(obj: Object, definition: Object) -> tuple[str, ...]:
    """The validation errors of an object: ``spec.http[0].weight: is not an integer``."""
    version = str(obj["apiVersion"]).rpartition("/")[2]
    served = {v["name"]: v for v in definition["spec"]["versions"] if v.get("served", True)}
    if version not in served:
        return (f"apiVersion: {version} is not served, only {', '.join(served)}",)
    schema = served[version]["schema"]["openAPIV3Schema"]
    body = {key: value for key, value in obj.items() if key not in _OF_EVERY_OBJECT}
    return tuple(_walk(body, schema, ""))


def _walk(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        kind = None
    if kind and not _is(value, kind):
        yield f"{path or 'object'}: is not {'an' if kind[0] in 'aeio' else 'a'} {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, dict):
        yield from _fields(value, schema, path)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _walk(item, schema.get("items") or {}, f"{path}[{i}]")


def _fields(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    known = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or extra is True or not (known or extra)
    for name in schema.get("required") or ():
        if name not in value:
            yield f"{_join(path, name)}: is missing"
    for name, inner in value.items():
        if name in known:
            yield from _walk(inner, known[name], _join(path, name))
        elif isinstance(extra, Mapping):
            yield from _walk(inner, extra, _join(path, name))
        elif not is_open:
            yield f"{_join(path, name)}: is not a known field"


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, (object,)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
