"""Write an intent's kind as a commented YAML document, and as a JSON Schema for editors."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from meshkit.errors import UnknownName
from meshkit.intent.base import Intent, Part, part_in
from meshkit.intent.document import KINDS

WIDTH = 100
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def template(kind: str) -> str:
    """Return a complete YAML document of a kind such as ``Route``.

    Required fields have an example value. Optional fields are commented out by a ``#`` without a space, with
    their default, or with an example where the default is nothing. Raises ``UnknownName`` for another kind.
    """
    model = _model(kind)
    heading = textwrap.wrap(_first_sentence(model), WIDTH, initial_indent="# ", subsequent_indent="# ")
    return "\n".join([*heading, f"kind: {kind}", *_fields(model)]) + "\n"


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the documents of a kind, with the field ``kind``.

    Raises ``UnknownName`` for an unknown kind.
    """
    found = _model(kind).model_json_schema()
    properties = {"kind": {"const": kind, "description": "the kind of the document"}, **found["properties"]}
    return {
        "$schema": _DRAFT,
        **found,
        "properties": properties,
        "required": ["kind", *found.get("required", ())],
    }


def _model(kind: str) -> type[Intent]:
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    return KINDS[kind]


def _first_sentence(model: type[Part]) -> str:
    text = " ".join((model.__doc__ or "").split("\n\n")[0].split())
    return text.replace("``", "")


def _fields(model: type[Part]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield from textwrap.wrap(field.description or "", WIDTH, initial_indent="# ", subsequent_indent="# ")
        mark = "" if field.is_required() else "#"
        yield from (f"{mark}{line}" for line in _dumped({name: _sample(field)}))


def _sample(field: FieldInfo) -> Any:
    """An example of the field's value, or its default; of a part that is off by default, an example."""
    if field.examples:
        return field.examples[0]
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Part):
        return default.model_dump(mode="json")
    part = part_in(field.annotation)
    if part is None or default:
        return default
    samples = {name: _sample(inner) for name, inner in part.model_fields.items()}
    given = {name: sample for name, sample in samples.items() if sample is not None}
    return [given] if default == () else given


def _dumped(value: Mapping[str, Any]) -> list[str]:
    """The lines of one field, with collections of scalars on one line."""
    nested = any(isinstance(item, Mapping | list | tuple) for item in value.values())
    text = yaml.safe_dump(
        _plain(value), sort_keys=False, width=WIDTH, default_flow_style=None if nested else False
    )
    return str(text).replace(": null\n", ":\n").splitlines()


def _plain(value: Any) -> Any:
    """The value with YAML's own containers."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
