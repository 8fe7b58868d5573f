"""The latency chart of a release: both versions side by side, weight shifts, and the result. A pure function
of the measurements.

Rows from top to bottom: p99, p50, errors, share of the canary, over one time axis; a gutter at the right
shows the name and latest values of each row, so that no legend is needed and no label moves with the lines.
Stable is blue, thin and marked by circles, the canary orange, thicker and marked by diamonds: the same in
light and dark. The time axis grows by fixed windows; the latency axes are frozen from stable's first looks
and grow only when three samples in a row leave them, so that a line that rises is a version that got
slower.

The figure is plain JSON for plotly; chart_svg.py draws the same figure without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from meshkit.decide.formatting import percent
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.views import stacked_rows
from meshkit.views.release.chart_svg import svg_chart

if TYPE_CHECKING:
    from meshkit.intent.release import Release
    from meshkit.operations.release.state import ReleaseState

Figure = dict[str, Any]
Values = list[float | None]

STABLE, CANARY, MARK = "#2A7BC6", "#D97706", "#7f7f7f"
WINDOWS_S = (60, 120, 300, 600, 1800, 3600, 7200, 14400)
"""The time axis ends at the first of these after its start that is not yet used up to 85 %."""
MEAN_S = 10.0
"""Errors and shares are means over this time: with few canary requests single looks jump."""
_SAME_S = 5.0
"""A shift of weights this near to the end of a release, in seconds, is drawn as one mark with it."""
_PLOT_PX, _LABEL_PX = 700, 52


@dataclass(frozen=True)
class Row:
    """One row: its name in the gutter, its unit, its share of the height and its number of decimals."""

    key: str
    title: str
    unit: str
    height: float
    digits: int


ROWS = (
    Row("p99", "p99 latency", "ms", 3.0, 0),
    Row("p50", "p50 latency", "ms", 1.75, 0),
    Row("errors", "Errors", "%", 1.45, 2),
    Row("share", "Canary share", "%", 1.55, 1),
)
HEIGHTS = [row.height for row in ROWS]


@dataclass(frozen=True)
class Chart:
    """A chart with three representations for notebooks: plotly, SVG and text."""

    figure: Figure
    text: str

    @property
    def svg(self) -> Markup:
        """The figure as a self-contained SVG document."""
        return svg_chart(self.figure, self.text)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            "application/vnd.plotly.v1+json": {**self.figure, "config": {"displayModeBar": False}},
            "image/svg+xml": self.svg,
            "text/plain": self.text,
        }

    def __repr__(self) -> str:
        return self.text


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
    x = [_ms(look.end_s) for look in looks]
    traces: list[dict[str, Any]] = []
    layout = stacked_rows.layout(HEIGHTS, [_ms(at) for at in x_range], height_px=480)
    for number, row in enumerate(ROWS, start=1):
        axis = "" if number == 1 else str(number)
        stable, canary = _values(row, looks)
        limit = _limit(row, stable, release)
        low, high = _y_range(row, stable, canary, limit, patience=3 if ended_s is None else 1)
        layout[f"yaxis{axis}"] |= {"range": [low, high], "tickvals": _ticks(low, high)}
        traces += _traces(row, f"y{axis}", x, stable, canary, high)
        layout["annotations"] += _gutter(row, number, stable, canary, limit, release)
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


def _ticks(low: float, high: float) -> list[float]:
    """Two to four round values inside a range, none near its edges, where labels of neighbouring rows
    would overlap.
    """
    rough, room = (high - low) / 3.2 or 1.0, 0.06 * (high - low)
    power = 10 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough)
    inside = range(math.ceil((low + room) / step), math.floor((high - room) / step) + 1)
    return [round(i * step, 6) for i in inside]


def _traces(
    row: Row, axis: str, x: list[float], stable: Values, canary: Values, high: float
) -> list[dict[str, Any]]:
    """Stable, canary, and small triangles at the upper edge for values beyond it."""
    common = {"type": "scatter", "x": x, "xaxis": "x", "yaxis": axis}
    hover = f"%{{y:.{row.digits}f}} {row.unit}"

    def line(name: str, values: Values, symbol: str, **style: Any) -> dict[str, Any]:
        size = [0] * (len(x) - 1) + [9 if symbol else 0]
        marker = {"symbol": symbol or "circle", "size": size, "color": style["color"], "opacity": 1}
        more = {"y": values, "name": name, "mode": "lines+markers", "line": style, "marker": marker}
        return {**common, **more, "hovertemplate": hover, "cliponaxis": True}

    if row.key == "share":
        first = line("asked", stable, "", color=MARK, width=1.6, shape="vh")
    else:
        first = line("stable", stable, "circle", color=STABLE, width=1.6)
    beyond = [
        high if any(value is not None and value > high for value in pair) else None
        for pair in zip(stable, canary, strict=True)
    ]
    marker = {"symbol": "triangle-up", "size": 9, "color": CANARY}
    silent = {"hoverinfo": "skip", "cliponaxis": False}
    return [
        first,
        line("measured" if row.key == "share" else "canary", canary, "diamond", color=CANARY, width=2.3),
        {**common, "y": beyond, "name": "beyond", "mode": "markers", "marker": marker} | silent,
    ]


def _gutter(
    row: Row, number: int, stable: Values, canary: Values, limit: float | None, release: Release
) -> list[dict[str, Any]]:
    """The name of a row and its latest values, at fixed places right of the plot."""
    lines = [(Markup("<b>{}</b>").format(row.title), "")]
    if row.key == "share":
        lines += [(Markup("─ asked"), _last(row, stable)), (Markup("◆ measured"), _last(row, canary))]
    else:
        lines += [
            (escape(f"● {_short(release.stable)}"), _last(row, stable)),
            (escape(f"◆ {_short(release.canary)}"), _last(row, canary)),
        ]
    if limit is not None:
        lines.append((Markup("┄ limit at start"), f"{limit:.{row.digits}f} {row.unit}"))
    colours = {"●": STABLE, "◆": CANARY}
    top = stacked_rows.domains(HEIGHTS)[number - 1][1]
    found = []
    for i, (name, value) in enumerate(lines):
        glyph = (
            Markup('<span style="color:{}">{}</span>{}').format(colours[name[0]], name[0], name[1:])
            if name[0] in colours
            else name
        )
        for text, shift, anchor in ((glyph, 12, "left"), (value, 150, "right")):
            if text:
                found.append(_text(text, 1, top, anchor, xshift=shift, yshift=-16 * i))
    return found


def _last(row: Row, values: Values) -> str:
    value = values[-1] if values else None
    return "no traffic" if value is None else f"{value:.{row.digits}f} {row.unit}"


def _short(version: str) -> str:
    return version if len(version) <= 10 else f"{version[:9]}…"


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
        line = {"color": MARK, "width": 1}
        shape = {
            "type": "line",
            "xref": "x",
            "x0": _ms(at_s),
            "x1": _ms(at_s),
            "yref": "paper",
            "y0": 0,
            "y1": 1.04,
            "line": line,
        }
        yield shape, [] if crowded else [_text(label, _ms(at_s), 1.07, "left", xref="x", xshift=4)]


def _text(
    text: str, x: float, y: float, anchor: str, *, xref: str = "paper", xshift: float = 0, yshift: float = 0
) -> dict[str, Any]:
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": xref,
        "yref": "paper",
        "xanchor": anchor,
        "yanchor": "top",
        "xshift": xshift,
        "yshift": yshift,
        "showarrow": False,
        "font": {"size": 12},
    }


def _x_end(start_s: float, now_s: float, ended_s: float | None) -> float:
    if ended_s is not None:
        return max(ended_s, now_s) + 0.08 * (max(ended_s, now_s) - start_s)
    used = now_s - start_s
    return start_s + next((window for window in WINDOWS_S if used <= 0.85 * window), used / 0.85)


def _ms(at_s: float) -> float:
    return round(at_s * 1000)


def _latest_lines(figure: Mapping[str, Any], release: Release) -> list[str]:
    """The latest values of each row, for readers without pictures."""
    lines = []
    for i, row in enumerate(ROWS):
        first, second = (_last(row, figure["data"][3 * i + k]["y"]) for k in (0, 1))
        names = ("asked", "measured") if row.key == "share" else (release.stable, release.canary)
        lines.append(f"{row.title}: {names[0]} {first}, {names[1]} {second}")
    return lines
