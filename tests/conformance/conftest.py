"""Every test of this folder is a conformance test: it is run by ``make conformance`` alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.fixtures import part, real_cluster
from tests.conformance.page import Page

__all__ = ["part", "real_cluster"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.conformance)


def pytest_configure(config: pytest.Config) -> None:
    whole = not config.args or set(config.args) <= set(config.getini("testpaths"))
    if config.option.markexpr == "conformance" and whole and not config.option.keyword:
        config.pluginmanager.register(Page())
