"""Errors from what Helm prints, with the managers and fields of a conflict."""

from __future__ import annotations

import re
from collections.abc import Sequence

from meshkit.errors import ClusterError, Conflict

_CONFLICT = re.compile(r'conflicts? with "([^"]+)"[^:\n]*:((?: \.[^\n]*)|(?:\n- [^\n]+)+)')
"""A manager and its fields in the API server's message about conflicts, on one line or as a list."""


def _owned(output: str) -> dict[str, tuple[str, ...]]:
    """The managers that own fields that Helm could not apply, with these fields."""
    found: dict[str, tuple[str, ...]] = {}
    for manager, fields in _CONFLICT.findall(output):
        paths = [each.strip().removeprefix("- ") for each in fields.strip().splitlines()]
        found[manager] = (*found.get(manager, ()), *paths)
    return found


def failure(words: Sequence[str], output: str) -> ClusterError:
    """The error for a command that failed; a ``Conflict`` if others own fields that it would change."""
    owned = _owned(output)
    if owned:
        fields = "; ".join(f"{', '.join(paths)} of {manager}" for manager, paths in owned.items())
        return Conflict(
            f"helm {words[0]} {words[1]} would change fields that others own: {fields}.",
            remedy="Let that manager give these fields up, then run this again: it goes on where it stopped.",
            managers=owned,
        )
    lines = [line for line in output.strip().splitlines() if not line.startswith(("WARNING", "level="))]
    text = (lines[-1] if lines else "no reason given").removeprefix("Error: ").rstrip(".")
    return ClusterError(f"helm {words[0]} {words[1]} failed: {text}.", remedy="Correct it, then plan again.")
