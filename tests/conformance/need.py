"""Skips a test, or fails it, if its program is not built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.parts import parts


def need(name: str) -> Path:
    """The program of a part. Without it the test is skipped; in CI a part of CI's list must be there."""
    found = parts()[name]
    if not found.path.exists():
        missing = f"{name} is not built here: `python tests/conformance/parts.py {name}` builds it"
        if os.environ.get("CI") and found.ci:
            pytest.fail(missing)
        pytest.skip(missing)
    return found.path
