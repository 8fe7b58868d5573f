"""Copy JSON values; ``copy.deepcopy`` takes several times as long."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
_NESTED = (dict, list)


def copied(value: T) -> T:
    """Return a deep copy of a JSON value."""
    return _copied(value)  # type: ignore[no-any-return]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _copied(below) if isinstance(below, _NESTED) else below for name, below in value.items()
        }
    if isinstance(value, list):
        return [_copied(below) if isinstance(below, _NESTED) else below for below in value]
    return value
