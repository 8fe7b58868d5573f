"""Fixtures that tests of several kinds share."""

from __future__ import annotations

import os

import pytest

from meshkit.testing import sandbox

__all__ = ["sandbox", "seed"]


@pytest.fixture
def seed() -> int:
    """What random tests start from: fixed, or ``make soak SEED=n``."""
    return int(os.environ.get("SEED", "20"))
