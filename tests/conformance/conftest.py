"""Every test of this folder is a conformance test: it is run by ``make conformance`` alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.fixtures import part, real_cluster

__all__ = ["part", "real_cluster"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.conformance)
