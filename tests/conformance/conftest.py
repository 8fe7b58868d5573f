"""Every test of this folder is a conformance test: it is run by ``make conformance`` alone."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conformance.fixtures import part, real_cluster
from tests.conformance.page import SUITE, Page, runs_all

__all__ = ["part", "real_cluster"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.conformance)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the parts said stands below a test that failed on them."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("real_cluster")
    if report.failed and cluster is not None:
        report.sections.append(("the real cluster's parts", cluster.logs()))
    return report


def pytest_configure(config: pytest.Config) -> None:
    whole = set(config.args) >= set(SUITE) or set(config.args) <= set(config.getini("testpaths"))
    if whole and runs_all(config, "conformance"):
        config.pluginmanager.register(Page(SUITE))
