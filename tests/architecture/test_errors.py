"""The tree drawn in errors.py matches its classes."""

from __future__ import annotations

import inspect
import re

from meshkit import errors


def classes() -> list[type[errors.MeshkitError]]:
    found = (one for _, one in inspect.getmembers(errors, inspect.isclass))
    return [one for one in found if issubclass(one, errors.MeshkitError)]


def drawn() -> dict[str, tuple[str | None, int]]:
    """Name -> the name above it and the exit code, as the drawing says."""
    lines = (errors.__doc__ or "").splitlines()
    found: dict[str, tuple[str | None, int]] = {"MeshkitError": (None, 1)}
    above = ["MeshkitError"]
    for line in lines:
        row = re.match(r"((?:[| ]   )*)[|`]-- (\w+) .*\(exit (\d)\)", line)
        if row:
            depth = len(row[1]) // 4 + 1
            del above[depth:]
            found[row[2]] = (above[-1], int(row[3]))
            above.append(row[2])
    return found


def test_every_error_is_drawn_where_it_stands_with_its_exit_code() -> None:
    tree = {
        one.__name__: (one.__base__.__name__ if one is not errors.MeshkitError else None, one.exit_code)
        for one in classes()
        if one.__base__ is not None
    }
    assert drawn() == tree
