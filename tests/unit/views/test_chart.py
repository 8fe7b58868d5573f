"""The chart as data: what is drawn where, what never moves, and that it shows itself without scripts."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import JudgedWindow, Progress
from meshkit.intent.release import Release
from meshkit.operations.release.route import record_of, route_object
from meshkit.operations.release.state.fold import after, begun
from meshkit.operations.release.state.model import ReleaseState
from meshkit.views.release.chart import Figure, figure_data, release_chart

RELEASE = Release(
    name="web-v2", namespace="shop", service="web", port=8080, stable="v1", canary="v2", steps=(10, 50, 100)
)
START_S = 1_700_000_000.0
ARMS = ("stable", "canary")


def look(
    second: int, asked: float, canary_ms: float | None = 20, stable_ms: float | None = 20
) -> SampleWindow:
    at = START_S + second
    share = asked / 100
    canary, stable = (
        ArmWindow(round(300 * part), 0, round(300 * part), (), p50_ms=ms, p90_ms=ms, p99_ms=ms)
        for part, ms in ((share, canary_ms), (1 - share, stable_ms))
    )
    return SampleWindow(at, at + 1, 0, asked, True, False, stable, canary)


def looks(*shares: float) -> list[SampleWindow]:
    return [look(i, share, canary_ms=20 if share else None) for i, share in enumerate(shares)]


def state(shown: list[SampleWindow], result: str | None = None) -> ReleaseState:
    record = {
        "at_s": START_S,
        "change_id": "c1",
        "release": RELEASE.model_dump(mode="json"),
        "mesh": "istio",
        "who": "ana",
        "object": "VirtualService shop/web",
        "route": record_of(route_object("istio", RELEASE)),
        "weights": [100, 0],
        "managed_fields": [],
    }
    found = begun(record)
    verdict = judge(Evidence.start(Yardstick.of(Baseline(()), RELEASE)), RELEASE, Progress(0, 1, 1))
    for one in shown:
        judged = JudgedWindow(one, verdict)
        found = after(found, {"kind": "look", "look": one.as_record(), "verdict": judged.verdict.as_record()})
    if result:
        end = {"kind": "end", "at_s": shown[-1].end_s, "result": result, "sentences": ["Done."], "percent": 0}
        found = after(found, end)
    return found


def labels(figure: Figure) -> list[str]:
    return [note["text"].replace("\N{NO-BREAK SPACE}", " ") for note in figure["layout"]["annotations"]]


def test_weight_shifts_and_the_end_are_lines_with_labels() -> None:
    shown = looks(*[0] * 30, *[10] * 30, *[50] * 30)
    figure = release_chart(state(shown, "rolled_back")).figure
    lines = [shape["x0"] for shape in figure["layout"]["shapes"] if shape["xref"] == "x"]
    assert lines == [1000 * (START_S + s) for s in (30, 60, 90)]
    marks = [note["text"] for note in figure["layout"]["annotations"] if note["xref"] == "x"]
    assert [mark.replace("\N{NO-BREAK SPACE}", " ") for mark in marks] == ["10 %", "✓ 50 %", "✕ 0 %"]


def test_of_labels_that_would_meet_the_later_is_shown() -> None:
    found = labels(figure_data(looks(0, 10, 50, 50), RELEASE))
    assert "✓ 50 %" in found
    assert "10 %" not in found


def values(figure: Figure, axis: str, name: str) -> list[float | None]:
    found = [trace for trace in figure["data"] if (trace["yaxis"], trace["name"]) == (axis, name)]
    assert len(found) == 1
    shown: list[float | None] = found[0]["y"]
    return shown


def test_both_versions_are_drawn_in_every_row_with_gaps_where_nothing_was() -> None:
    figure = figure_data(looks(0, 0, 10, 10), RELEASE)
    for axis in ("y", "y2", "y3"):
        assert values(figure, axis, "stable") == [20, 20, 20, 20]
        assert values(figure, axis, "canary") == [None, None, 20, 20]
    assert len({trace["line"]["color"] for trace in figure["data"] if trace["name"] in ARMS}) == 2


def test_traces_are_the_same_whatever_was_seen() -> None:
    names = [trace["name"] for trace in figure_data((), RELEASE)["data"]]
    assert names == [trace["name"] for trace in figure_data(looks(0, 10, 50), RELEASE)["data"]]


def test_time_axis_grows_by_windows_and_never_slides() -> None:
    ranges = [
        figure_data(looks(*[0] * n), RELEASE)["layout"]["xaxis"]["range"] for n in (1, 50, 52, 101, 103)
    ]
    assert {start for start, _ in ranges} == {1000 * START_S}
    assert [(end - 1000 * START_S) / 1000 for _, end in ranges] == [60, 60, 120, 120, 300]


def test_latency_axis_grows_only_when_three_samples_in_a_row_leave_it() -> None:
    usual = [look(i, 10) for i in range(10)]
    high = figure_data(usual, RELEASE)["layout"]["yaxis"]["range"][1]
    for slow, grows in ((2, False), (3, True)):
        more = [look(10 + i, 10, canary_ms=300) for i in range(slow)]
        figure = figure_data([*usual, *more], RELEASE)
        assert (figure["layout"]["yaxis"]["range"][1] > high) is grows
        beyond = [y for y in values(figure, "y", "beyond") if y is not None]
        assert len(beyond) == (0 if grows else slow)


def test_the_interval_of_the_canary_is_a_band_once_the_verdict_knows_one() -> None:
    shown = looks(*[10] * 4)
    found = state(shown)
    known: list[dict[str, float]] = [
        {"canary_requests": 249, "p99_low_percent": -10, "p99_high_percent": 50},
        {"canary_requests": 250, "p99_low_percent": -10},
        {"canary_requests": 280, "p99_low_percent": -5, "p99_high_percent": 50},
        {},
    ]
    judged = zip(found.looks, known, strict=True)
    found = replace(found, looks=tuple(replace(a, verdict=replace(a.verdict, numbers=b)) for a, b in judged))
    figure = figure_data(shown, RELEASE, found)
    assert values(figure, "y", "interval from") == [None, 18, 19, 19]
    ends = values(figure, "y", "interval to")
    assert ends[0] is None
    assert ends[1] is not None
    assert ends[1] > figure["layout"]["yaxis"]["range"][1], "an interval without end leaves the row"
    assert ends[2:] == [30, 30]
    assert values(figure, "y2", "interval to") == [None] * 4
    assert release_chart(found).svg.count('fill="rgba') == 1


def test_gutter_says_the_latest_values_and_no_traffic() -> None:
    found = labels(figure_data([look(0, 100, canary_ms=23.4, stable_ms=None)], RELEASE))
    assert "23 ms" in found
    assert "no traffic" in found


@pytest.mark.parametrize("result", [None, "promoted", "rolled_back", "undecided"])
def test_bundle_shows_everywhere(result: str | None) -> None:
    bundle = release_chart(state(looks(0, 0, 10, 10, 50), result))._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json", "image/svg+xml", "text/plain"}
    json.dumps(bundle)
    root = ElementTree.fromstring(bundle["image/svg+xml"])
    assert root.tag.endswith("svg")
    assert "href" not in bundle["image/svg+xml"]
    assert "p99 latency: v1 20 ms, v2 20 ms" in bundle["text/plain"]


def test_plotly_accepts_the_figure() -> None:
    from plotly.graph_objects import Figure as PlotlyFigure

    assert len(PlotlyFigure(figure_data(looks(0, 10, 50), RELEASE)).data) == 21


def test_names_from_the_cluster_are_text_in_the_picture() -> None:
    hostile = RELEASE.model_copy(update={"canary": "<v2>&"})
    assert "&lt;v2&gt;&amp;" in release_chart_of(hostile)


def release_chart_of(release: Release) -> str:
    from meshkit.views.charts.svg import svg_chart

    return svg_chart(figure_data(looks(0, 10), release))


@pytest.mark.parametrize("canary_ms", [1.0, 9.0, 90.0, 900.0])
def test_no_line_and_no_limit_stays_outside_of_the_axis(canary_ms: float) -> None:
    shown = [*(look(i, 10) for i in range(10)), *(look(10 + i, 10, canary_ms=canary_ms) for i in range(6))]
    figure = figure_data(shown, RELEASE)
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < canary_ms < high
    limits = [each["y0"] for each in figure["layout"]["shapes"] if each.get("yref") == "y"]
    assert limits
    assert all(low < limit < high for limit in limits)
