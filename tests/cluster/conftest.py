"""Every test of this folder runs on one cluster of this machine, in the order in which they are written."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from meshkit.cluster.connect import Cluster, connect
from tests.cluster import needs
from tests.cluster.start import Started, running_cluster
from tests.conformance.page import CLUSTER, Page

TIMEOUT_S = 420
"""The time limit of one test with its fixtures, on a slow machine; the first one starts the cluster."""
NOT_RUN = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def started(pytestconfig: pytest.Config) -> Iterator[Started]:
    """The cluster; without what it needs, a skip, or in CI a failure if it could be installed."""
    try:
        needs.require()
    except (needs.Missing, needs.Refused) as reason:
        if isinstance(reason, needs.Missing) and os.environ.get("CI"):
            pytest.fail(str(reason))
        pytestconfig.stash[NOT_RUN] = str(reason)
        if page := pytestconfig.pluginmanager.get_plugin("page"):
            pytestconfig.pluginmanager.unregister(page)
        pytest.skip(str(reason))
    with running_cluster() as cluster:
        print(f"the cluster was ready after {cluster.started_s:.0f} s")
        yield cluster


@pytest.fixture(scope="session")
def cluster(started: Started) -> Cluster:
    """The cluster, as meshkit sees it."""
    return connect(kubeconfig=started.kubeconfig)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the cluster's programs said stands below a test that failed on them."""
    report = yield
    running = getattr(item, "funcargs", {}).get("started")
    if report.failed and running is not None:
        report.sections.append(("the cluster's programs", running.logs()))
    return report


def pytest_configure(config: pytest.Config) -> None:
    whole = set(config.args) >= set(CLUSTER)
    if config.option.markexpr == "cluster" and whole and not config.option.keyword:
        config.pluginmanager.register(Page(CLUSTER), "page")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of the run says why nothing was proven."""
    if reason := config.stash.get(NOT_RUN, ""):
        print(f"cluster: not run on this machine: {reason}")
