"""What the Kubernetes kinds served here look like: types, list types, merge keys and protobuf field
numbers, as data.

Lives here: the two data files, the script that made them (generate.py) and the one loader. May not live
here: behaviour. Defaults that Kubernetes computes are in ``kinds``, walking a schema is in ``schema``. The
prose of the originals is left out; NOTICE says where the facts come from.
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
    """Definitions by their published name (``io.k8s.api.core.v1.Pod``), in the form of an OpenAPI v3
    document.
    """
    return _load("builtin.json.gz")


@functools.cache
def protobuf_messages() -> dict[str, dict[str, list[Any]]]:
    """Protobuf messages: name -> field number -> [JSON name, type, flags]; see ``protobuf`` for the flags."""
    return _load("protobuf.json.gz")


def _load(name: str) -> dict[str, Any]:
    with gzip.open(_HERE / name, "rt", encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded
