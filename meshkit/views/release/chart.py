"""The latency chart of a release: both versions side by side, weight shifts, and the result. A pure function
of the measurements.

Rows from top to bottom: p99, p90, p50, errors, share of the canary. The latency axes are frozen from stable's
first looks and grow only when three samples in a row leave them, so that a line that rises is a version that
got slower. A band shows where the canary's latency lies as far as the verdict knows: the interval of how much
slower it is, over the whole release, on stable's latency at the start, like the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from meshkit.decide.formatting import percent
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.views.charts import rows
from meshkit.views.charts.chart import Chart
from meshkit.views.charts.rows import CANARY, MARK, STABLE, Figure, Row, Values

if TYPE_CHECKING:
    from meshkit.intent.release import Release
    from meshkit.operations.release.state.model import ReleaseState

MEAN_S = 10.0
"""Errors and shares are means over this time: with few canary requests single looks jump."""
_SAME_S = 5.0
"""A shift of weights this near to the end of a release, in seconds, is drawn as one mark with it."""
_PLOT_PX, _LABEL_PX = 700, 52
BAND_REQUESTS = 250
"""Canary requests from which on the interval is drawn: before, it fills the row."""
_BEYOND_ROW = 10.0
"""An end of an interval that is not bounded lies at so many times stable's latency, outside every row."""


ROWS = (
    Row("p99", "p99 latency", "ms", 3.0, 0),
    Row("p90", "p90 latency", "ms", 1.75, 0),
    Row("p50", "p50 latency", "ms", 1.75, 0),
    Row("errors", "Errors", "%", 1.45, 2),
    Row("share", "Canary share", "%", 1.55, 1),
)


def release_chart(state: ReleaseState) -> Chart:
    """The chart of a release, running or ended: ``mk.release_chart(outcome.state)``."""
    looks = [judged.look for judged in state.looks]
    figure = figure_data(looks, state.release, state)
    title = f"{state.release.name}: {state.release.stable} to {state.release.canary}, {state.status}"
    lines = [title.replace("_", " ") + ".", *state.sentences, *_latest_lines(figure, state.release)]
    return Chart(figure, "\n".join(lines))


def figure_data(looks: Sequence[SampleWindow], release: Release, state: ReleaseState | None = None) -> Figure:
    """The figure as JSON for plotly. The number and order of traces never change, so a live view can append.

    ``state`` adds how the release ended, where there is one.
    """
    now_s = looks[-1].end_s if looks else 0.0
    ended_s = state.ended_s if state else None
    start_s = looks[0].start_s if looks else now_s
    x_range = [start_s, _x_end(start_s, now_s, ended_s)]
    x = [rows.epoch_ms(look.end_s) for look in looks]
    traces: list[dict[str, Any]] = []
    layout = rows.layout(ROWS, x_range, height_px=560)
    for number, row in enumerate(ROWS, start=1):
        axis = "" if number == 1 else str(number)
        stable, canary = _values(row, looks)
        limit = _limit(row, stable, release)
        low, high = _y_range(row, stable, canary, limit, patience=3 if ended_s is None else 1)
        layout[f"yaxis{axis}"] |= {"range": [low, high], "tickvals": rows.ticks(low, high)}
        if row.unit == "ms":
            low_ms, high_ms = _interval(row, looks, state, _usual(stable))
            traces += rows.band(x, low_ms, high_ms, row, f"y{axis}", CANARY)
        traces += _traces(row, f"y{axis}", x, stable, canary, high)
        layout["annotations"] += rows.gutter(
            ROWS, number - 1, list(_gutter(row, stable, canary, limit, release))
        )
        if limit is not None:
            layout["shapes"].append(_limit_line(limit, f"y{axis}"))
    for shape, label in _marks(looks, state, x_range):
        layout["shapes"].append(shape)
        layout["annotations"] += label
    return {"data": traces, "layout": layout}


def _values(row: Row, looks: Sequence[SampleWindow]) -> tuple[Values, Values]:
    """A row's values of (stable, canary) at each look; for the share: (asked, measured). None is a gap."""
    if row.key == "share":
        return [look.asked_percent for look in looks], [_share(recent) for recent in _recent(looks)]
    if row.key == "errors":
        recents = list(_recent(looks))
        return (
            [_error_percent([look.stable for look in recent]) for recent in recents],
            [_error_percent([look.canary for look in recent]) for recent in recents],
        )
    name = f"{row.key}_ms"
    return [getattr(look.stable, name) for look in looks], [getattr(look.canary, name) for look in looks]


def _recent(looks: Sequence[SampleWindow]) -> Iterator[Sequence[SampleWindow]]:
    """For each look, the looks of the MEAN_S seconds up to it that asked for the same share."""
    first = 0
    for i, look in enumerate(looks):
        while looks[first].end_s <= look.end_s - MEAN_S or looks[first].asked_percent != look.asked_percent:
            first += 1
        yield looks[first : i + 1]


def _share(looks: Sequence[SampleWindow]) -> float | None:
    canary = sum(look.canary.requests for look in looks)
    total = canary + sum(look.stable.requests for look in looks)
    return round(100 * canary / total, 3) if total else None


def _error_percent(arms: Sequence[ArmWindow]) -> float | None:
    requests = sum(arm.requests for arm in arms)
    return round(100 * sum(arm.errors for arm in arms) / requests, 3) if requests else None


def _limit(row: Row, stable: Values, release: Release) -> float | None:
    """The limit of a latency row: stable's median at the start, plus the margin."""
    usual = _usual(stable)
    if row.unit != "ms" or usual is None:
        return None
    margin: float = getattr(release.margins, f"{row.key}_percent")
    return round(usual * (1 + margin / 100), 1)


def _interval(
    row: Row, looks: Sequence[SampleWindow], state: ReleaseState | None, usual: float | None
) -> tuple[Values, Values]:
    """The ends of the interval of the canary's latency at each look; None before there is one to draw.

    An interval holds at all times, so a look without one keeps the one before.
    """
    numbers = {judged.look.end_s: judged.verdict.numbers for judged in state.looks} if state else {}
    found: list[tuple[float | None, float | None]] = [(None, None)]
    for look in looks:
        found.append(_ends(row, numbers.get(look.end_s, {}), usual) or found[-1])
    return [low for low, _ in found[1:]], [high for _, high in found[1:]]


def _ends(row: Row, numbers: Mapping[str, float], usual: float | None) -> tuple[float, float] | None:
    low, high = (numbers.get(f"{row.key}_{end}_percent") for end in ("low", "high"))
    few = numbers.get("canary_requests", 0) < BAND_REQUESTS
    if usual is None or few or (high is None and (low is None or low <= -100)):
        return None
    most = _BEYOND_ROW if high is None else 1 + high / 100
    return round(usual * (1 + (low or 0.0) / 100), 1), round(usual * most, 1)


def _usual(stable: Values) -> float | None:
    """The median of the first ten values."""
    first = sorted(value for value in stable[:10] if value is not None)
    return first[len(first) // 2] if first else None


def _y_range(
    row: Row, stable: Values, canary: Values, limit: float | None, *, patience: int
) -> tuple[float, float]:
    """The range is fixed by the first values of stable. Once ``patience`` consecutive values are above it, it
    grows by half; once they are below it, it begins at zero.
    """
    if row.key == "share":
        return -8.0, 110.0
    if row.key == "errors":
        usual, high = 0.0, max([0.5, *(4 * value for value in stable[:10] if value is not None)])
    else:
        usual = _usual(stable) or 100.0
        high = max(1.6 * usual, 1.1 * (limit or 0.0))
    low = usual - max(0.5 * usual, 0.08 * high)
    for line in (stable, canary):
        for start in range(len(line) - patience + 1):
            run = [value for value in line[start : start + patience] if value is not None]
            while len(run) == patience and min(run) > high:
                high *= 1.5
            if len(run) == patience and max(run) < low:
                low = -0.04 * high
    return round(low, 3), round(high, 3)


def _traces(
    row: Row, axis: str, x: list[float], stable: Values, canary: Values, high: float
) -> list[dict[str, Any]]:
    """Stable, canary, and small triangles at the upper edge for values beyond it."""
    if row.key == "share":
        names, style = ("asked", "measured"), {"color": MARK, "shape": "vh"}
    else:
        names, style = ("stable", "canary"), {"color": STABLE, "symbol": "circle"}
    beyond = [
        high if any(value is not None and value > high for value in pair) else None
        for pair in zip(stable, canary, strict=True)
    ]
    return [
        rows.line(x, stable, row, axis, name=names[0], width=1.6, **style),
        rows.line(x, canary, row, axis, name=names[1], width=2.3, color=CANARY, symbol="diamond"),
        {
            "type": "scatter",
            "x": x,
            "xaxis": "x",
            "yaxis": axis,
            "y": beyond,
            "name": "beyond",
            "mode": "markers",
            "hoverinfo": "skip",
            "cliponaxis": False,
            "marker": {"symbol": "triangle-up", "size": 9, "color": CANARY},
        },
    ]


def _gutter(
    row: Row, stable: Values, canary: Values, limit: float | None, release: Release
) -> Iterator[tuple[str, str, str]]:
    """The lines of a row, named, with their latest values."""
    diamond = rows.coloured("◆", CANARY)
    if row.key == "share":
        yield "─", "asked", row.latest(stable)
        yield "◆", "measured", row.latest(canary)
    else:
        yield rows.coloured("●", STABLE), rows.short(release.stable), row.latest(stable)
        yield diamond, rows.short(release.canary), row.latest(canary)
    if limit is not None:
        yield "┄", "limit at start", row.shown(limit)


def _limit_line(limit: float, axis: str) -> dict[str, Any]:
    line = {"color": MARK, "width": 1, "dash": "dash"}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis,
        "y0": limit,
        "y1": limit,
        "line": line,
    }


def _marks(
    looks: Sequence[SampleWindow], state: ReleaseState | None, x_range: Sequence[float]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """A line through all rows, and its label in the strip above, for each change of weights and for the
    end.
    """
    marks = [
        (
            later.start_s,
            f"{'✓ ' if before.asked_percent and later.asked_percent > before.asked_percent else ''}"
            f"{percent(later.asked_percent)}",
        )
        for before, later in pairwise(looks)
        if later.asked_percent != before.asked_percent
    ]
    if state and state.ended_s is not None:
        if state.status == "rolled_back" and marks and abs(marks[-1][0] - state.ended_s) < _SAME_S:
            marks.pop()  # the shift back is the end itself
        glyph = {"promoted": "✓ promoted", "rolled_back": f"✕ {percent(state.asked_percent)}"}
        marks.append((state.ended_s, glyph.get(state.status, "? undecided")))
    px_per_s = _PLOT_PX / max(x_range[1] - x_range[0], 1e-9)
    for i, (at_s, label) in enumerate(marks):
        crowded = i + 1 < len(marks) and (marks[i + 1][0] - at_s) * px_per_s < _LABEL_PX
        yield rows.moment(at_s, "" if crowded else label)


def _x_end(start_s: float, now_s: float, ended_s: float | None) -> float:
    if ended_s is not None:
        return max(ended_s, now_s) + 0.08 * (max(ended_s, now_s) - start_s)
    return start_s + rows.window_s(now_s - start_s)


def _latest_lines(figure: Mapping[str, Any], release: Release) -> list[str]:
    """The latest values of each row, for readers without pictures."""
    lines = []
    for number, row in enumerate(ROWS, start=1):
        axis = f"y{'' if number == 1 else number}"
        shown = {trace["name"]: trace["y"] for trace in figure["data"] if trace["yaxis"] == axis}
        keys = ("asked", "measured") if row.key == "share" else ("stable", "canary")
        names = keys if row.key == "share" else (release.stable, release.canary)
        first, second = (row.latest(shown[key]) for key in keys)
        lines.append(f"{row.title}: {names[0]} {first}, {names[1]} {second}")
    return lines
