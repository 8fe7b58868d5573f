"""The live view without a browser: what it shows, filters, explains, and does when the cluster is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

import meshkit as mk
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput
from meshkit.operations.glance.model import NO_SIDECAR, Connection, Glance
from meshkit.views.glance.panel import MeshView
from tests.unit.glance.shops import call, drawn, finding

CALL = call("shop/client", "shop/web", request="web.shop:8080")
FIRST = drawn(CALL, call("other/a", "other/b"), findings=(finding(where="Deployment shop/web"),))


class Named:
    server = "https://prod:6443"


@dataclass
class Reader:
    """Gives the readings one after the other, then the last again; an error is raised."""

    readings: list[Glance | Exception] = field(default_factory=list)
    cluster: Any = field(default_factory=Named)
    mesh: str = "linkerd"
    reads: int = 0

    def read(self) -> Glance:
        self.reads += 1
        now = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(now, Exception):
            raise now
        return now

    def explain(self, connection: Connection) -> str:
        return f"rule: <{connection.request}>"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - widgets have no event
            await asyncio.sleep(0.01)


def drive(reader: Reader, act: Callable[[MeshView], Any], holds: Callable[[MeshView], bool]) -> MeshView:
    """Show the view as a cell does, act on it, and wait until something holds."""

    async def cell() -> MeshView:
        view = MeshView(cast(Any, reader), 0.02, FIRST)
        act(view)
        await until(lambda: holds(view))
        view.close()
        return view

    return asyncio.run(cell())


def test_a_notebook_without_a_kernel_keeps_picture_page_and_text() -> None:
    bundle = MeshView(cast(Any, Reader()), 5, FIRST)._repr_mimebundle_()
    assert bundle["text/plain"] == str(FIRST)
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "Run two." in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_it_reads_again_and_shows_what_changed() -> None:
    later = drawn(CALL, call(NO_SIDECAR, "shop/web", "plain text"))
    view = drive(Reader([later]), lambda _: None, lambda v: v._glance is later)
    assert "plain text" in view._connections.value
    assert "Nothing was found." in view._findings.value


def test_a_reading_that_fails_keeps_the_last_values_and_says_so() -> None:
    view = drive(Reader([RuntimeError("gone")]), lambda _: None, lambda v: "gone" in v._problem.value)
    assert "those of 00:00:00 UTC" in view._problem.value
    assert "shop/web" in view._findings.value


def test_a_pause_reads_nothing() -> None:
    reader = Reader([FIRST])

    async def cell() -> None:
        view = MeshView(cast(Any, reader), 0.01, FIRST)
        view._pause.value = True
        await asyncio.sleep(0.1)
        assert reader.reads == 0
        assert "paused" in view._head.value
        view.close()

    asyncio.run(cell())


def test_a_namespace_and_a_workload_limit_what_is_drawn() -> None:
    def choose(view: MeshView) -> None:
        assert view._space.options == ("all namespaces", "other", "shop")
        view._space.value = "other"

    view = drive(
        Reader([FIRST]),
        choose,
        lambda v: "other/a" in v._connections.value and "shop/" not in v._connections.value,
    )
    assert "Nothing was found." in view._findings.value


def test_a_click_on_a_call_explains_it_and_escapes_it() -> None:
    means = {"source": "shop/client", "destination": "shop/web"}
    view = drive(Reader([FIRST]), lambda v: v._clicked(means), lambda v: "rule:" in v._told.value)
    assert "&lt;web.shop:8080&gt;" in view._told.value


def test_a_click_on_a_workload_shows_its_findings() -> None:
    view = drive(
        Reader([FIRST]), lambda v: v._clicked({"workload": "shop/web"}), lambda v: "MK0301" in v._told.value
    )
    assert "Run two." in view._told.value


@pytest.mark.parametrize("interval_s", [0, 1.9, 601, float("nan")])
def test_the_time_between_readings_is_bounded(interval_s: float) -> None:
    with pytest.raises(BadInput, match="interval_s"):
        mk.mesh_view(cast(Cluster, None), mesh="istio", interval_s=interval_s)
