"""Every test of this folder runs on one cluster of this machine, in the order in which they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from meshkit.cluster.connect import Cluster, connect
from tests.cluster import needs
from tests.cluster.start import Started, running_cluster
from tests.cluster.walk import Walk
from tests.conformance.page import CLUSTER, Page, runs_all

TIMEOUT_S = 420
"""The time limit of one test with its fixtures, on a slow machine; the first one starts the cluster."""
HELM_TOOL = Path(__file__).parents[2] / "tools" / "helm.py"
NOT_RUN = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            if not item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.cluster)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def started(pytestconfig: pytest.Config) -> Iterator[Started]:
    """The cluster; without what it needs, a skip, or in CI a failure if it could be installed.

    ``make soak`` builds no part, so there it is a skip in CI, too.
    """
    try:
        needs.require()
    except (needs.Missing, needs.Refused) as reason:
        soak = pytestconfig.option.markexpr == "soak"
        if isinstance(reason, needs.Missing) and os.environ.get("CI") and not soak:
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


@pytest.fixture(scope="module")
def walk(cluster: Cluster, started: Started, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The way through meshkit on the cluster, with the Helm of the tests."""
    helm = subprocess.run([sys.executable, HELM_TOOL], capture_output=True, text=True, check=False)
    assert helm.returncode == 0, helm.stderr
    folder = tmp_path_factory.mktemp("walk")
    homes = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    environment = {"MESHKIT_HELM": helm.stdout.strip(), **homes}
    return Walk(cluster, started.kubeconfig, folder, environment)


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
    if whole and runs_all(config, "cluster"):
        config.pluginmanager.register(Page(CLUSTER), "page")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of the run says why nothing was proven."""
    if reason := config.stash.get(NOT_RUN, ""):
        print(f"cluster: not run on this machine: {reason}")
