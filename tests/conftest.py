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
LONG_TIMEOUT_S = 480
"""The time limit of one of their tests, with its fixtures, on a slow machine."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the long files, and give each worker whole groups of tests that share a sandbox.

    A group is a file, in the long files of one mesh; begun last, a long one would keep one of two workers
    waiting for the other.
    """
    items.sort(key=lambda item: _folder(item) not in LONG)
    for item in items:
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(_group(item)))
        if _folder(item) in LONG and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def _group(item: pytest.Item) -> str:
    file = item.path.relative_to(TESTS).as_posix()
    if not isinstance(item, pytest.Function) or _folder(item) not in LONG or not hasattr(item, "callspec"):
        return file
    mesh = next((value for value in item.callspec.params.values() if value in ("istio", "linkerd")), "")
    return f"{'mesh in use' if 'mesh_in_use' in item.fixturenames else file} {mesh}"


@pytest.fixture(autouse=True, scope="session")
def no_cluster_of_the_user() -> None:
    """Keep tests and the processes they start away from the user's own cluster."""
    os.environ.pop("KUBECONFIG", None)


@pytest.fixture
def seed() -> int:
    """What random tests start from: fixed, or ``make soak SEED=n``."""
    return int(os.environ.get("SEED", "20"))
