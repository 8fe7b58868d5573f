"""One view of a schema, whether of a built-in kind (definitions with references) or of a
CustomResourceDefinition.

A schema is the JSON of an OpenAPI v3 schema object; ``None`` stands for "nothing is known here" (below
``x-kubernetes-preserve-unknown-fields``), where every map is granular and every list is one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from meshkit.sandbox.api.schema.published import definitions

Schema = Mapping[str, Any]
Shape = Literal["leaf", "object", "map", "set"]

_REF = "#/components/schemas/"
OBJECT_META = {"$ref": _REF + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def definition(name: str) -> Schema:
    """The schema of a built-in type by its published name."""
    return definitions()[name]


def resolve(schema: Schema) -> Schema:
    """The schema with its reference followed. What stands beside the reference wins
    (``x-kubernetes-map-type``).
    """
    if "$ref" in schema:
        return resolve(definitions()[schema["$ref"].removeprefix(_REF)])
    parts = schema.get("allOf")
    if parts and "$ref" in parts[0]:
        beside = {key: value for key, value in schema.items() if key != "allOf"}
        return {**resolve(parts[0]), **beside}
    return schema


def member(schema: Schema | None, name: str) -> Schema | None:
    """The schema of one field of an object, or of one value of a map. None when nothing is known of it."""
    if schema is None:
        return None
    found = schema.get("properties", {}).get(name)
    if found is None:
        found = schema.get("additionalProperties")
    if found is None and schema.get("x-kubernetes-embedded-resource"):
        found = _EMBEDDED.get(name)
    return resolve(found) if isinstance(found, Mapping) else None


def items(schema: Schema | None) -> Schema | None:
    """The schema of a list's items."""
    found = schema.get("items") if schema is not None else None
    return resolve(found) if found else None


def declares(schema: Schema | None, name: str) -> bool:
    """Whether the field is declared by name (a key of an open map is not)."""
    return schema is not None and name in schema.get("properties", ())


def keeps_unknown(schema: Schema | None) -> bool:
    """Whether fields that are not declared are kept: free-form objects, and where the schema says nothing
    at all.
    """
    if schema is None or schema.get("x-kubernetes-preserve-unknown-fields"):
        return True
    if "properties" in schema or "items" in schema or schema.get("additionalProperties"):
        return False
    return schema.get("type") in (None, "object")


def takes(schema: Schema, name: str) -> bool:
    """Whether an object may have a field of this name, declared or not."""
    if keeps_unknown(schema) or member(schema, name) is not None:
        return True
    return name in schema.get("properties", ()) or schema.get("additionalProperties") is True


def is_leaf(schema: Schema | None, value: object) -> bool:
    """Whether the value is merged and owned as a whole."""
    return shape(schema, value) == "leaf"


def shape(schema: Schema | None, value: object) -> Shape:
    """How a value is merged: as one ``leaf``, field by field, or as a list keyed by its items (``map``,
    ``set``).
    """
    if isinstance(value, dict):
        return "leaf" if schema is not None and schema.get("x-kubernetes-map-type") == "atomic" else "object"
    if isinstance(value, list) and schema is not None:
        kind = schema.get("x-kubernetes-list-type")
        if kind in ("map", "set"):
            return "map" if kind == "map" else "set"
    return "leaf"


def list_keys(schema: Schema | None) -> list[str]:
    """The fields that tell the items of a ``map`` list apart."""
    return list(schema.get("x-kubernetes-list-map-keys", ())) if schema is not None else []


def of_custom_resource(open_api: Schema) -> Schema:
    """The schema of a CustomResourceDefinition's version with the fields that every object has."""
    string = {"type": "string"}
    known = {"apiVersion": string, "kind": string, "metadata": OBJECT_META}
    return {**open_api, "type": "object", "properties": {**open_api.get("properties", {}), **known}}


_EMBEDDED: dict[str, Schema] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": OBJECT_META,
}
