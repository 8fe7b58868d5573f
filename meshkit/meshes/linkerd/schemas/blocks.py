"""Building blocks of schemas: objects, lists, texts, numbers and references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GROUP = "policy.linkerd.io"
Schema = dict[str, Any]

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
HOST = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_GROUP_NAME = rf"^$|^{HOST}"
_KIND_NAME = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
BOOLEAN: Schema = {"type": "boolean"}
ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def mapping(required: Sequence[str] = (), **fields: Schema) -> Schema:
    """An object with these fields."""
    schema: Schema = {"type": "object", "properties": fields}
    return {**schema, "required": list(required)} if required else schema


def array(items: Schema, **limits: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **limits}


def text(longest: int | None = None, shortest: int | None = None, **more: Any) -> Schema:
    """A string."""
    limits = {"maxLength": longest, "minLength": shortest}
    return {"type": "string", **{key: value for key, value in limits.items() if value is not None}, **more}


def one_of(*values: str, **more: Any) -> Schema:
    """A string that is one of these."""
    return {"type": "string", "enum": list(values), **more}


def whole(least: int | None = None, most: int | None = None, **more: Any) -> Schema:
    """An integer of 32 bits."""
    limits = {"minimum": least, "maximum": most}
    given = {key: value for key, value in limits.items() if value is not None}
    return {"type": "integer", "format": "int32", **given, **more}


def keyed(item: Schema, key: str = "name", **limits: Any) -> Schema:
    """A list whose entries are told apart by one field."""
    return array(item, **limits, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})


def group(default: str | None = None) -> Schema:
    """The name of an API group."""
    return defaulted(text(253, pattern=_GROUP_NAME), default)


def kind(default: str | None = None) -> Schema:
    """The name of a kind."""
    return defaulted(text(63, 1, pattern=_KIND_NAME), default)


def defaulted(schema: Schema, default: str | None) -> Schema:
    """A schema with a default value, or without."""
    return schema if default is None else {**schema, "default": default}


NAME = text(253, 1)
NAMESPACE = text(63, 1, pattern=LABEL)
PORT = whole(1, 65535)


def reference(*required: str, **fields: Schema) -> Schema:
    """A reference to an object by group, kind and name."""
    return mapping(required, group=group(), kind=kind(), name=NAME, **fields)


def selector() -> Schema:
    """A selector of labels."""
    expression = mapping(
        ("key", "operator"),
        key=text(),
        operator=one_of("In", "NotIn", "Exists", "DoesNotExist"),
        values=array(text()),
    )
    return mapping(matchLabels=ANYTHING, matchExpressions=array(expression))


def networks() -> Schema:
    """Networks with the parts of them that are left out."""
    network = mapping(("cidr",), cidr=text())
    network["properties"]["except"] = array(text())
    return array(network)


def condition() -> Schema:
    """A condition of a status."""
    return mapping(
        type=text(316, pattern=_CONDITION_TYPE),
        status=one_of("True", "False", "Unknown"),
        reason=text(1024, 1, pattern=_REASON),
        message=text(32768),
        lastTransitionTime=text(format="date-time"),
    )
