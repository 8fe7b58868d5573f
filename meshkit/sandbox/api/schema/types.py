"""Uniform access to the schemas of built-in kinds (with references) and CustomResourceDefinitions.

A schema is the JSON of an OpenAPI v3 schema object. ``None`` is the unknown schema (below
``x-kubernetes-preserve-unknown-fields``), where every map is granular and every list is atomic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from meshkit.sandbox.api.schema.published import definitions

Schema = Mapping[str, Any]
Shape = Literal["leaf", "object", "map", "set"]

_REF = "#/components/schemas/"
_merged: dict[int, tuple[Schema, Schema]] = {}
"""The schemas of built-in kinds that have keywords beside a reference, each with its resolved form."""
OBJECT_META = {"$ref": _REF + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def definition(name: str) -> Schema:
    """Return the schema of a built-in type by its published name."""
    return definitions()[name]


def resolve(schema: Schema) -> Schema:
    """Return the schema with its reference resolved.

    Keywords next to the reference take precedence (``x-kubernetes-map-type``).
    """
    if "$ref" in schema:
        return resolve(definitions()[schema["$ref"].removeprefix(_REF)])
    parts = schema.get("allOf")
    if parts and "$ref" in parts[0]:
        found = _merged.get(id(schema))
        if found is None or found[0] is not schema:
            beside = {key: value for key, value in schema.items() if key != "allOf"}
            found = _merged[id(schema)] = (schema, {**resolve(parts[0]), **beside})
        return found[1]
    return schema


def member(schema: Schema | None, name: str) -> Schema | None:
    """Return the schema of a field of an object or a value of a map, or None when it is unknown."""
    if schema is None:
        return None
    field_schema = schema.get("properties", {}).get(name)
    if field_schema is None:
        field_schema = schema.get("additionalProperties")
    if field_schema is None and schema.get("x-kubernetes-embedded-resource"):
        field_schema = _EMBEDDED.get(name)
    return resolve(field_schema) if isinstance(field_schema, dict) else None


def items(schema: Schema | None) -> Schema | None:
    """Return the schema of a list's items, or None when it is unknown."""
    item_schema = schema.get("items") if schema is not None else None
    return resolve(item_schema) if item_schema else None


def declares(schema: Schema | None, name: str) -> bool:
    """Return whether the schema declares the field by name (keys of open maps are not declared)."""
    return schema is not None and name in schema.get("properties", ())


def keeps_unknown(schema: Schema | None) -> bool:
    """Return whether undeclared fields are kept, as in free-form objects and unknown schemas."""
    if schema is None or schema.get("x-kubernetes-preserve-unknown-fields"):
        return True
    if "properties" in schema or "items" in schema or schema.get("additionalProperties"):
        return False
    return schema.get("type") in (None, "object")


def takes(schema: Schema, name: str) -> bool:
    """Return whether an object may have a field of this name, declared or not."""
    if keeps_unknown(schema) or member(schema, name) is not None:
        return True
    return name in schema.get("properties", ()) or schema.get("additionalProperties") is True


def is_leaf(schema: Schema | None, value: object) -> bool:
    """Return whether the value is merged and owned as a whole."""
    return shape(schema, value) == "leaf"


def shape(schema: Schema | None, value: object) -> Shape:
    """Return how a value is merged.

    A ``leaf`` is atomic, an ``object`` is merged field by field, ``map`` and ``set`` lists are merged by
    item.
    """
    if isinstance(value, dict):
        return "leaf" if schema is not None and schema.get("x-kubernetes-map-type") == "atomic" else "object"
    if isinstance(value, list) and schema is not None:
        kind = schema.get("x-kubernetes-list-type")
        if kind in ("map", "set"):
            return "map" if kind == "map" else "set"
    return "leaf"


def list_keys(schema: Schema | None) -> list[str]:
    """Return the key fields of a ``map`` list."""
    return list(schema.get("x-kubernetes-list-map-keys", ())) if schema is not None else []


def of_custom_resource(open_api: Schema) -> Schema:
    """Return the schema of a CustomResourceDefinition's version with the fields of every object."""
    string = {"type": "string"}
    known = {"apiVersion": string, "kind": string, "metadata": OBJECT_META}
    return {**open_api, "type": "object", "properties": {**open_api.get("properties", {}), **known}}


_EMBEDDED: dict[str, Schema] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": OBJECT_META,
}
