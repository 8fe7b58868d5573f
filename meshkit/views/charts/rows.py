"""A figure of rows above each other, which share the axis of time.

A gutter at the right shows the title of each row and its latest values, so that no legend is needed and no
label moves with the lines. Stable is blue, thin and marked by circles, a canary orange, thicker and marked by
diamonds: the same in light and dark. The time axis grows by fixed windows. A figure is plain JSON for plotly;
svg.py draws the same figure without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

Figure = dict[str, Any]
Values = Sequence[float | None]
"""The values of one line at each moment. None is a gap, which no line crosses."""

STABLE, CANARY, MARK = "#2A7BC6", "#D97706", "#7f7f7f"
TEXT = "#767676"
"""Readable on a light page and on a dark one."""
WINDOWS_S = (60, 120, 300, 600, 1800, 3600, 7200, 14400)
"""The time axis ends at the first of these after its start that is not yet used up to 85 %."""
_GAP = 0.035
"""The part of the height between two rows."""
_SECONDS_SHOWN_S = 600
"""A longer axis of time has no seconds in its labels."""
_LINE_PX = 16
"""The height of a line of text in the gutter."""
_NAME_PX, _VALUE_PX = 12, 150
"""Where names begin and values end, right of the plot."""


@dataclass(frozen=True)
class Row:
    """One row: its title in the gutter, its unit, its share of the height and its number of decimals."""

    key: str
    title: str
    unit: str
    height: float
    digits: int

    def shown(self, value: float) -> str:
        """A value with the unit."""
        return f"{value:.{self.digits}f} {self.unit}"

    def latest(self, values: Values) -> str:
        """The latest value of a line in words."""
        value = values[-1] if values else None
        return "no traffic" if value is None else self.shown(value)


def layout(rows: Sequence[Row], x_range_s: Sequence[float], *, height_px: int) -> dict[str, Any]:
    """The plotly layout of rows from the top, over a range of epoch seconds."""
    short = x_range_s[1] - x_range_s[0] < _SECONDS_SHOWN_S
    found: dict[str, Any] = {
        "height": height_px,
        "margin": {"l": 44, "r": 156, "t": 34, "b": 26},
        "showlegend": False,
        "hovermode": "x",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": TEXT},
        "shapes": [],
        "annotations": [],
        "xaxis": {
            "type": "date",
            "range": [epoch_ms(at_s) for at_s in x_range_s],
            "anchor": f"y{len(rows)}",
            "tickformat": "%H:%M:%S" if short else "%H:%M",
            "showgrid": False,
            "fixedrange": True,
        },
    }
    for number, (low, high) in enumerate(_domains(rows), start=1):
        found[f"yaxis{'' if number == 1 else number}"] = {
            "domain": [low, high],
            "anchor": "x",
            "gridcolor": "rgba(127,127,127,0.22)",
            "zeroline": False,
            "fixedrange": True,
        }
    return found


def _domains(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The vertical range of each row, from 0 at the bottom to 1."""
    unit = (1 - _GAP * (len(rows) - 1)) / sum(row.height for row in rows)
    top, found = 1.0, []
    for row in rows:
        found.append((max(round(top - unit * row.height, 4), 0.0), round(top, 4)))
        top -= unit * row.height + _GAP
    return found


def gutter(
    rows: Sequence[Row], index: int, lines: Sequence[tuple[str, str, str]]
) -> Iterator[dict[str, Any]]:
    """The title of a row and, below it, each line's glyph with its colour (or none), name and value."""
    top = _domains(rows)[index][1]
    yield _text(Markup("<b>{}</b>").format(rows[index].title), 1, top, "left", xshift=_NAME_PX)
    for number, (glyph, name, value) in enumerate(lines, start=1):
        shift = -_LINE_PX * number
        yield _text(escape(glyph) + escape(f" {name}"), 1, top, "left", xshift=_NAME_PX, yshift=shift)
        yield _text(value, 1, top, "right", xshift=_VALUE_PX, yshift=shift)


def coloured(glyph: str, colour: str) -> Markup:
    """The glyph of a line in the line's colour."""
    return Markup('<span style="color:{}">{}</span>').format(colour, glyph)


def line(x: Values, values: Values, row: Row, axis: str, *, name: str, **style: Any) -> dict[str, Any]:
    """The trace of a line. ``symbol`` in the style marks its latest point; the rest is plotly's ``line``."""
    symbol = style.pop("symbol", "")
    size = [0] * (len(x) - 1) + [9 if symbol else 0] if x else []
    return {
        "type": "scatter",
        "x": x,
        "y": list(values),
        "xaxis": "x",
        "yaxis": axis,
        "name": name,
        "mode": "lines+markers",
        "line": style,
        "marker": {"symbol": symbol or "circle", "size": size, "color": style["color"], "opacity": 1},
        "hovertemplate": f"%{{y:.{row.digits}f}} {row.unit}",
        "cliponaxis": True,
    }


def band(x: Values, low: Values, high: Values, row: Row, axis: str, colour: str) -> list[dict[str, Any]]:
    """The traces of the area between two lines, which may begin with a gap but have none later."""
    fill = f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.18)"
    lower = line(x, low, row, axis, name="interval from", color=colour, width=0)
    upper = line(x, high, row, axis, name="interval to", color=colour, width=0)
    silent = {"mode": "lines", "hoverinfo": "skip", "hovertemplate": None}
    return [lower | silent, upper | silent | {"fill": "tonexty", "fillcolor": fill}]


def moment(at_s: float, label: str = "") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A line through all rows, and its label in the strip above."""
    at_ms = epoch_ms(at_s)
    shape = {
        "type": "line",
        "xref": "x",
        "x0": at_ms,
        "x1": at_ms,
        "yref": "paper",
        "y0": 0,
        "y1": 1.04,
        "line": {"color": MARK, "width": 1},
    }
    return shape, [_text(label, at_ms, 1.07, "left", xref="x", xshift=4)] if label else []


def _text(
    text: str, x: float, y: float, anchor: str, *, xref: str = "paper", xshift: float = 0, yshift: float = 0
) -> dict[str, Any]:
    where = {"x": x, "y": y, "xref": xref, "yref": "paper", "xanchor": anchor, "yanchor": "top"}
    return {
        "text": text,
        **where,
        "xshift": xshift,
        "yshift": yshift,
        "showarrow": False,
        "font": {"size": 12},
    }


def window_s(used_s: float) -> float:
    """The length of the time axis when so much of it is used."""
    return next((float(window) for window in WINDOWS_S if used_s <= 0.85 * window), used_s / 0.85)


def ticks(low: float, high: float) -> list[float]:
    """Two to four round values inside a range, none near its edges, where labels of neighbouring rows
    would overlap.
    """
    rough, room = (high - low) / 3.2 or 1.0, 0.06 * (high - low)
    power = 10 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough)
    inside = range(math.ceil((low + room) / step), math.floor((high - room) / step) + 1)
    return [round(i * step, 6) for i in inside]


def short(name: str) -> str:
    """A name that fits into the gutter."""
    return name if len(name) <= 10 else f"{name[:9]}…"


def epoch_ms(at_s: float) -> float:
    """Epoch seconds as plotly's axis counts them."""
    return round(at_s * 1000)
