"""Helm releases as objects of a kind that exists only in meshkit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import annotations_of

RELEASE = Kind("helm.sh/v1", "Release")
"""A kind that no API server serves: Helm stores its releases in Secrets."""

WAIT_S = 300.0


def release_of(one: Object) -> tuple[str, str] | None:
    """Return namespace and name of the release that an object belongs to, from Helm's annotations on it."""
    found = annotations_of(one)
    name = found.get("meta.helm.sh/release-name")
    return (found.get("meta.helm.sh/release-namespace", ""), name) if name else None


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge chart values as Helm does: mappings key by key; ``theirs`` replaces everything else.

    >>> merged({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    result = dict(ours)
    for key, value in theirs.items():
        mine = result.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        result[key] = merged(mine, value) if both else value  # type: ignore[arg-type]
    return result
