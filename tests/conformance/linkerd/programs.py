"""Linkerd's own programs, which are not built here: ``$MESHKIT_LINKERD_PARTS`` names a folder with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = "MESHKIT_LINKERD_PARTS"
PROGRAMS = ("linkerd", "controller", "linkerd-policy-controller")


def programs() -> dict[str, Path]:
    """The programs by name. Without the folder the test is skipped; a folder without one of them fails it."""
    given = os.environ.get(FOLDER)
    if not given:
        pytest.skip(f"${FOLDER} names no folder with Linkerd's own programs ({', '.join(PROGRAMS)})")
    found = {name: Path(given) / name for name in PROGRAMS}
    if missing := [name for name, path in found.items() if not os.access(path, os.X_OK)]:
        pytest.fail(f"${FOLDER} is {given}, which has no program {', '.join(missing)}")
    return found
