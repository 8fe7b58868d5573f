"""The CustomResourceDefinitions that the planners install: data made by generate.py; linkerd.py by hand."""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.resources import files
from typing import Any

from meshkit.facts import Object
from meshkit.planners.crds import linkerd


@cache
def crds(name: str) -> tuple[Object, ...]:
    """The definitions of ``istio``, ``linkerd`` or ``gateway_api``, in the order of their names."""
    if name == "linkerd":
        return linkerd.definitions()
    packed = (files(__package__) / f"{name}.json.gz").read_bytes()
    definitions: list[dict[str, Any]] = json.loads(gzip.decompress(packed))
    return tuple(definitions)
