"""Server-side printing, the Tables that ``kubectl get`` shows.

The columns of built-in kinds are in ``columns``; a custom resource declares its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.sandbox.api.http import columns
from meshkit.sandbox.api.http.columns import Column, age, at
from meshkit.sandbox.api.schema.registry import Resource

Object = Mapping[str, Any]
NAME = {"name": "Name", "type": "string", "format": "name", "priority": 0}


def definitions(resource: Resource) -> list[dict[str, Any]]:
    """Return the column definitions of a resource's Table."""
    return [{**NAME, "description": ""}, *(column.definition() for column in _columns(resource))]


def row(resource: Resource, obj: Object, include: str) -> dict[str, Any]:
    """Return the Table row of an object.

    ``include`` (None, Metadata or Object) selects how much of the object the row carries for client-side
    sorting and filtering.
    """
    cells = [obj["metadata"]["name"], *(column.cell(obj) for column in _columns(resource))]
    table_row: dict[str, Any] = {"cells": cells}
    if include == "Object":
        table_row["object"] = obj
    elif include != "None":
        table_row["object"] = partial(obj)
    return table_row


def partial(obj: Object) -> dict[str, Any]:
    """Return the PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(
    resource: Resource, rows: Iterable[dict[str, Any]], metadata: Object, *, columns: bool
) -> dict[str, Any]:
    """Return a Table.

    The later events of a watch omit the columns.
    """
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions(resource) if columns else None,
        "rows": list(rows),
    }


_FILTER = re.compile(
    r"^(?P<list>[\w.]+)\[\?\(@\.(?P<key>\w+)\s*==\s*[\"'](?P<value>[^\"']*)[\"']\)\]\.(?P<rest>[\w.]+)$"
)


def _columns(resource: Resource) -> tuple[Column, ...]:
    if not resource.custom:
        return columns.TABLES.get(resource.key, (columns.AGE,))
    own = tuple(_own_column(column) for column in resource.columns)
    return own or (columns.AGE,)


def _own_column(declared: Mapping[str, Any]) -> Column:
    """Return the column of an additionalPrinterColumns entry."""
    path = declared["jsonPath"].lstrip(".")

    def cell(obj: Object) -> Any:
        value = json_path(obj, path)
        if declared["type"] == "date":
            return age(value) if value else "<unknown>"
        return json.dumps(value, separators=(",", ":")) if isinstance(value, (list, dict)) else value

    wide = declared.get("priority", 0) > 0
    return Column(declared["name"], cell, wide, "string" if declared["type"] == "date" else declared["type"])


def json_path(obj: Any, path: str) -> Any:
    """Return the value at a JSONPath, or None.

    Supports the subset of printer columns: ``a.b[0]`` and ``a[?(@.type=="Ready")].status``.
    """
    filtered = _FILTER.match(path)
    if filtered:
        for item in at(obj, filtered["list"]) or ():
            if item.get(filtered["key"]) == filtered["value"]:
                return at(item, filtered["rest"])
        return None
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+|\*)\]", path):
        if name:
            obj = obj.get(name) if isinstance(obj, Mapping) else None
        elif index != "*":
            obj = obj[int(index)] if isinstance(obj, list) and int(index) < len(obj) else None
    return obj
