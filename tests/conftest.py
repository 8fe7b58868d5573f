"""Fixtures that tests of several kinds share."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from meshkit.testing import sandbox

__all__ = ["sandbox", "seed"]

TESTS = Path(__file__).parent
LONG = ("browser", "e2e", "runbooks")
"""Folders whose files take a minute and more."""
IN_USE = ("tests/e2e/test_access.py", "tests/e2e/test_day_two.py", "tests/e2e/test_upgrade.py")
"""Files with the fixture ``mesh_in_use``."""
LONG_TIMEOUT_S = 900
"""The time limit of one of their tests, with its fixtures, on a slow machine."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if _folder(item) in LONG and not item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files: begun last, one would keep one of two workers waiting for the other."""
    items.sort(key=lambda item: _folder(item) not in LONG)


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


class BySandbox(LoadScopeScheduling):
    """Give each process whole groups of tests that share a sandbox: a file, or one mesh of a long file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        mesh = re.search(r"\[(istio|linkerd)\b", nodeid)
        if mesh is None or Path(file).parts[1] not in LONG:
            return file
        return f"{'mesh in use' if file in IN_USE else file} {mesh[1]}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BySandbox:
    return BySandbox(config, log)


@pytest.fixture(autouse=True, scope="session")
def no_cluster_of_the_user() -> None:
    """Keep tests and the processes they start away from the user's own cluster."""
    os.environ.pop("KUBECONFIG", None)


@pytest.fixture
def seed() -> int:
    """What random tests start from: fixed, or ``make soak SEED=n``."""
    return int(os.environ.get("SEED", "20"))
