"""A shop in a mesh that several files operate one after the other: each leaves it as it found it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from meshkit.cluster.connect import Cluster
from tests.e2e.ledgers import INSTALLED, shop_in_mesh

IN_USE = "mesh_in_use"
_open: dict[str, tuple[Cluster, ExitStack]] = {}
"""The shop that is in use, by its mesh."""


@pytest.fixture(scope="session", params=["istio", "linkerd"])
def mesh(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def mesh_in_use(mesh: str) -> Cluster:
    """The mesh has the version before the newest, so that it can be upgraded.

    The shop of the other mesh is closed here, when the fixtures of a file that stand on it have ended.
    """
    for other in set(_open) - {mesh}:
        _open.pop(other)[1].close()
    if mesh not in _open:
        stack = ExitStack()
        _open[mesh] = stack.enter_context(shop_in_mesh(mesh, INSTALLED[mesh])), stack
    return _open[mesh][0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """End the shop with the last test that uses it: one that nobody uses would slow down all that follow."""
    try:
        return (yield)
    finally:
        mesh = _mesh_in_use(item)
        if mesh in _open and (nextitem is None or not _mesh_in_use(nextitem)):
            _open.pop(mesh)[1].close()


def _mesh_in_use(item: pytest.Item) -> str:
    """The mesh of the shop that a test uses; empty if it uses none."""
    if not isinstance(item, pytest.Function) or IN_USE not in item.fixturenames:
        return ""
    return str(item.callspec.params["mesh"])
