"""The list of releases in a cell: what it offers, and the panel that it opens, without a browser."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest

from meshkit.errors import UnknownName
from meshkit.operations.release.watch import Watched
from meshkit.views.release import chooser as module
from meshkit.views.release.chooser import ReleaseChooser, listed
from tests.unit.views_panel.releases import LINE, RELEASE, STARTED_S, release_after
from tests.unit.views_panel.shown import Cluster, until


@dataclass
class Watch:
    """The watch of a release, which remembers the thread it was made on."""

    release: Any
    cluster: Any
    mesh: str = "istio"

    def __post_init__(self) -> None:
        assert threading.current_thread() is not threading.main_thread()

    def look(self) -> Watched:
        return Watched(STARTED_S + 20, (), release_after(20), 10.0)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster with one release, which somebody else runs."""
    monkeypatch.setattr(module, "Watch", Watch)
    monkeypatch.setattr(module, "LIST_S", 0.02)
    monkeypatch.setattr(module, "releases", lambda _: [LINE])
    monkeypatch.setattr(module, "release_state", state_of)
    return Cluster()


def state_of(name: str, cluster: Any) -> Any:
    if name != "web-v2":
        raise UnknownName("release", name, ())
    return release_after(20)


def choose(cluster: Any, name: str, *ready: Any) -> ReleaseChooser:
    async def cell() -> ReleaseChooser:
        chooser = ReleaseChooser(cluster, (), ready)
        await until(lambda: name in chooser._choice.options)
        chooser._choice.value = name
        await until(lambda: chooser._slot.children or chooser._problem.value)
        chooser.close()
        return chooser

    return asyncio.run(cell())


def test_a_release_that_was_started_elsewhere_appears_and_is_joined(cluster: Cluster) -> None:
    chooser = choose(cluster, "web-v2")
    assert "&lt;ana&gt;" in chooser._list.value
    assert "watching, no process" in chooser._list.value
    (panel,) = chooser._slot.children
    assert "Canary release of web" in panel._head.value


def test_a_release_of_the_cell_is_offered_before_it_has_run(cluster: Cluster) -> None:
    ready = RELEASE.model_copy(update={"name": "new"})
    (panel,) = choose(cluster, "new", ready)._slot.children
    assert panel._release is ready


def test_a_release_that_cannot_be_read_says_why(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "releases", lambda _: [replace(LINE, name="gone")])
    chooser = choose(cluster, "gone")
    assert not chooser._slot.children
    assert "gone" in chooser._problem.value


def test_an_empty_cluster_says_so() -> None:
    assert "no releases" in listed([], STARTED_S)
