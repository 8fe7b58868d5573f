"""Published data of the Kubernetes kinds, with types, list types, merge keys and protobuf field numbers.

This package holds the two data files, the script that generates them (generate.py) and their loader, but no
behaviour. Defaults that Kubernetes computes are in ``schema.defaults``, and ``schema.types`` walks schemas.
Descriptions are omitted; NOTICE names the sources.
"""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


@functools.cache
def definitions() -> dict[str, dict[str, Any]]:
    """Return the schema definitions by published name, such as ``io.k8s.api.core.v1.Pod``.

    They have the form of an OpenAPI v3 document.
    """
    return _load("builtin.json.gz")


@functools.cache
def protobuf_messages() -> dict[str, dict[str, list[Any]]]:
    """Return the protobuf messages by name.

    Each maps a field number to [JSON name, type, flags]; see ``protobuf`` for the flags.
    """
    return _load("protobuf.json.gz")


def _load(name: str) -> dict[str, Any]:
    with gzip.open(_HERE / name, "rt", encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded
