"""Typed validation of a server-side apply configuration before it is merged.

Every field must be declared, every value must have its declared type, and list items must have unique keys.
Kubernetes reports these errors as a plain 500 (structured-merge-diff, typed/validate.go), unlike the 422 of
validation. Only the first unknown field of an object is reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.requests import Target
from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.types import Schema
from meshkit.sandbox.api.storage import fieldset
from meshkit.sandbox.api.storage.fieldset import Path

_NUMBERS = ("integer", "number")


def check(target: Target, config: Mapping[str, Any]) -> None:
    """Raise ApiError for a configuration of the wrong kind (400) or shape (500)."""
    resource = target.resource
    given = config.get("apiVersion", ""), config.get("kind", "")
    if not all(isinstance(value, str) for value in given):
        raise status.bad_request("apiVersion and kind of an apply configuration must be strings")
    if given[1] != resource.kind or given[0] not in (resource.api_version, resource.stored_api_version):
        group_version = given[0] if "/" in given[0] else f"/{given[0]}"
        raise status.bad_request(f"invalid object type: {group_version}, Kind={given[1]}")
    metadata = config.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("managedFields") is not None:
        raise status.bad_request("metadata.managedFields must be nil")
    problems = sorted(_problems(resource.schema, config, ()))
    if problems:
        raise _refusal(config, problems)


def _refusal(config: Mapping[str, Any], problems: list[str]) -> status.ApiError:
    summary = (
        problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {problem}" for problem in problems)
    )
    metadata = config.get("metadata")
    meta = metadata if isinstance(metadata, Mapping) else {}
    version = config["apiVersion"] if "/" in config["apiVersion"] else f"/{config['apiVersion']}"
    about = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {version}, Kind={config['kind']}"
    return status.bare(500, f"failed to create typed patch object ({about}): {summary}")


def _problems(schema: Schema | None, value: Any, path: Path) -> Iterator[str]:
    if schema is None or value is None:
        return
    wrong = _wrong(schema, value)
    if wrong:
        yield f"{fieldset.text(path)}: {wrong}"
        return
    if isinstance(value, dict):
        for name, field_value in value.items():
            below = schemas.member(schema, name)
            if below is None and not schemas.takes(schema, name):
                yield f"{fieldset.text((*path, f'f:{name}'))}: field not declared in schema"
                return
            yield from _problems(below, field_value, (*path, f"f:{name}"))
    elif isinstance(value, list):
        yield from _items(schema, value, path)


def _items(schema: Schema, value: list[Any], path: Path) -> Iterator[str]:
    below = schemas.items(schema)
    if schemas.is_leaf(schema, value):
        for index, item in enumerate(value):
            yield from _problems(below, item, (*path, f"i:{index}"))
        return
    try:
        for child in fieldset.children(schema, value, path, unique=True):
            yield from _problems(below, child.value, (*path, child.element))
    except fieldset.BadListItem as error:
        yield str(error)


def _wrong(schema: Schema, value: Any) -> str:
    """Return why a value does not have the schema's type, or an empty string."""
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string") or not isinstance(wanted, str):
        return ""
    if wanted == "object":
        return "" if isinstance(value, dict) else f"expected map, got {_shown(value)}"
    if wanted == "array":
        return "" if isinstance(value, list) else f"expected list, got {_shown(value)}"
    if wanted in _NUMBERS:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        return "" if fits else f"expected numeric (int or float), got {_go_type(value)}"
    if wanted == "string":
        return "" if isinstance(value, str) else f"expected string, got {_go_syntax(value)}"
    return "" if isinstance(value, bool) else f"expected boolean, got {_go_syntax(value)}"


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def _go_syntax(value: Any) -> str:
    """Return the value in the format of Go's ``%#v`` of the merge library's wrapper."""
    return f"&value.valueUnstructured{{Value:{json.dumps(value)}}}"


def _shown(value: Any) -> str:
    """Return the value in the format of Go's ``%v`` of the same wrapper."""
    return f"&{{{_plain(value)}}}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_plain(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_plain(item) for item in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)
