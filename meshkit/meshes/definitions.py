"""The CustomResourceDefinitions that planners install, packed as ``crds.json.gz`` in a mesh's folder.

``generate.py`` beside this file makes the data from published definitions.
"""

from __future__ import annotations

import gzip
import json
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
