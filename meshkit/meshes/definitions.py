"""The CustomResourceDefinitions that planners install, packed as ``crds.json.gz`` in a mesh's folder.

``generate.py`` beside this file makes the data from published definitions.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from meshkit.facts import Object


@cache
def crds(folder: str) -> tuple[Object, ...]:
    """The definitions packed in ``istio``, ``gateway_api`` or ``gateway_api/gateways``, by their names."""
    packed = (files(__package__) / folder / "crds.json.gz").read_bytes()
    definitions: list[dict[str, Any]] = json.loads(gzip.decompress(packed))
    return tuple(definitions)


def defaulted(obj: Object, definition: Object | None) -> Object:
    """An object with the defaults that its definition has, as a server stores it."""
    for version in (definition or {"spec": {"versions": ()}})["spec"]["versions"]:
        if obj["apiVersion"].rpartition("/")[2] == version["name"]:
            found: Object = _filled(obj, version["schema"]["openAPIV3Schema"])
            return found
    return obj


def _filled(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        inner = schema.get("properties") or {}
        given = {name: field["default"] for name, field in inner.items() if "default" in field}
        return {name: _filled(each, inner.get(name) or {}) for name, each in {**given, **value}.items()}
    if isinstance(value, list | tuple):
        return [_filled(each, schema.get("items") or {}) for each in value]
    return value
