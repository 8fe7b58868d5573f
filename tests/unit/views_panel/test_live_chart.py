"""Only what changed travels to the browser, and a script only when it is asked for."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from meshkit.views.charts.live_chart import LiveChart, changes


def figure(points: int, *, title: str = "a", colour: str = "blue") -> dict[str, Any]:
    trace = {"x": list(range(points)), "y": [2 * i for i in range(points)], "line": {"color": colour}}
    return {"data": [trace], "layout": {"title": title, "height": 10}}


def test_new_points_are_sent_alone() -> None:
    assert changes(figure(3), figure(5)) == {
        "kind": "change",
        "grown": [(0, "x", [3, 4]), (0, "y", [6, 8])],
        "set": [],
        "layout": {},
    }


def test_what_did_not_only_grow_is_replaced() -> None:
    change = changes(figure(5), figure(3, colour="red"))
    assert change is not None
    assert change["grown"] == []
    assert [key for _, key, _ in change["set"]] == ["x", "y", "line"]


def test_only_the_parts_of_the_layout_that_differ_are_sent() -> None:
    change = changes(figure(3), figure(3, title="b"))
    assert change == {"kind": "change", "grown": [], "set": [], "layout": {"title": "b"}}


def test_equal_figures_send_nothing() -> None:
    assert changes(figure(3), figure(3)) is None


def test_another_number_of_traces_sends_the_whole_figure() -> None:
    two = {"data": figure(1)["data"] * 2, "layout": {}}
    assert changes(figure(1), two) == {"kind": "figure", **two}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[bytes]]]:
    messages: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(
        LiveChart, "send", lambda _, content, buffers=None: messages.append((content, buffers or []))
    )
    return messages


def test_a_browser_gets_the_figure_and_the_script_when_it_asks(sent: list[Any]) -> None:
    chart = LiveChart(figure(2))
    assert sent == []
    chart._handle_custom_msg({"kind": "figure"}, [])
    assert sent[0][0]["data"][0]["x"] == [0, 1]
    chart._handle_custom_msg({"kind": "plotly"}, [])
    assert b"plotly.js" in zlib.decompress(sent[1][1][0])[:200]
    assert len(sent[1][1][0]) < 2_000_000


def test_show_sends_the_difference_to_what_was_shown(sent: list[Any]) -> None:
    chart = LiveChart(figure(2))
    chart.show(figure(3))
    chart.show(figure(4))
    assert [content["grown"][0][2] for content, _ in sent] == [[2], [3]]
