"""Fixtures of the tests on real parts, for the suites that run on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.cluster import RealCluster, running_cluster
from tests.conformance.need import need


@pytest.fixture(scope="session")
def part() -> Callable[[str], Path]:
    """The program of a part of parts.toml by its name: ``part("pilot-discovery")``."""
    return need


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """One real cluster for the whole test session."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
