"""Fixtures that tests of several kinds share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshkit.testing import sandbox

__all__ = ["sandbox", "seed"]

TESTS = Path(__file__).parent
LONG = ("browser", "e2e", "runbooks", "notebooks")
"""Folders whose files take a minute and more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first: begun last, one of two workers would wait for the other."""
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in LONG)


@pytest.fixture(autouse=True, scope="session")
def no_cluster_of_the_user() -> None:
    """Keep tests and the processes they start away from the user's own cluster."""
    os.environ.pop("KUBECONFIG", None)


@pytest.fixture
def seed() -> int:
    """What random tests start from: fixed, or ``make soak SEED=n``."""
    return int(os.environ.get("SEED", "20"))
