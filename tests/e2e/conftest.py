"""A shop in a mesh that several files operate one after the other: each leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshkit.cluster.connect import Cluster
from tests.e2e.ledgers import INSTALLED, shop_in_mesh


@pytest.fixture(scope="session", params=["istio", "linkerd"])
def mesh(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def mesh_in_use(mesh: str) -> Iterator[Cluster]:
    """The mesh has the version before the newest, so that it can be upgraded."""
    with shop_in_mesh(mesh, INSTALLED[mesh]) as cluster:
        yield cluster
