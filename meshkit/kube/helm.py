"""Helm releases as objects: a kind of their own that no API server serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import notes

RELEASE = Kind("helm.sh/v1", "Release")
"""Not a kind of any API server: Helm keeps its releases in Secrets."""

WAIT_S = 300.0


def release_of(one: Object) -> tuple[str, str] | None:
    """Namespace and name of the release that made an object, by Helm's own notes on it."""
    found = notes(one)
    name = found.get("meta.helm.sh/release-name")
    return (found.get("meta.helm.sh/release-namespace", ""), name) if name else None


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm lays them: mappings key by key, everything else replaced.

    >>> merged({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    result = dict(ours)
    for key, value in theirs.items():
        mine = result.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        result[key] = merged(mine, value) if both else value  # type: ignore[arg-type]
    return result
