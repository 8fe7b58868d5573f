"""Draws the figures of rows.py as SVG, for readers without scripts and for print.

It supports the parts of plotly's schema that these figures use: line and marker traces on stacked y axes
over one time axis, straight shapes, and text. Text has the colour of the page.
"""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

WIDTH = 900

_DASH = {"dash": Markup(' stroke-dasharray="5 4"')}
_TIME_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_SPAN = re.compile(r'<span style="color:(#\w+)">(.*?)</span>')


def svg_chart(figure: Mapping[str, Any], label: str = "") -> Markup:
    """An SVG document of a figure. ``label`` is the text for screen readers."""
    return _Drawing(figure).document(label)


class _Drawing:
    """The coordinates of one figure, and its parts as SVG."""

    def __init__(self, figure: Mapping[str, Any]) -> None:
        self._data, self._layout = figure["data"], figure["layout"]
        margin = self._layout["margin"]
        self._height: float = self._layout["height"]
        self._left: float = margin["l"]
        self._right: float = WIDTH - margin["r"]
        self._top: float = margin["t"]
        self._bottom: float = self._height - margin["b"]
        self._x0: float
        self._x1: float
        self._x0, self._x1 = self._layout["xaxis"]["range"]

    def document(self, label: str) -> Markup:
        parts = [*self._axes(), *self._traces(), *self._shapes(), *self._texts()]
        return Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="100%" '
            'role="img" aria-label="{}" font-family="system-ui, sans-serif" '
            'font-size="12" fill="currentColor">{}</svg>'
        ).format(WIDTH, self._height, label, Markup("").join(parts))

    def _axes(self) -> Iterator[Markup]:
        for name, axis in self._layout.items():
            if name.startswith("yaxis"):
                for tick in axis["tickvals"]:
                    y = self._y(axis, tick)
                    yield _line(self._left, y, self._right, y, axis["gridcolor"], 1)
                    yield _label(self._left - 6, y + 4, f"{tick:g}", "end", 11)
        for at_ms in _time_ticks(self._x0, self._x1):
            shown = time.strftime(self._layout["xaxis"]["tickformat"], time.gmtime(at_ms / 1000))
            yield _label(self._x(at_ms), self._bottom + 18, shown, "middle", 11)

    def _traces(self) -> Iterator[Markup]:
        lower: Sequence[tuple[float, float] | None] = ()
        for trace in self._data:
            axis = self._layout["yaxis" + trace["yaxis"][1:]]
            low, high = axis["range"]
            points = [
                None
                if at is None or value is None
                else (self._x(at), self._y(axis, min(max(value, low), high)))
                for at, value in zip(trace["x"], trace["y"], strict=True)
            ]
            if trace["mode"] == "markers":
                for point in filter(None, points):
                    yield _triangle(*point, trace["marker"]["color"])
                continue
            line = trace["line"]
            if "fill" in trace:
                area = [point for point in (*points, *reversed(lower)) if point]
                path = "".join(_segments(area, steps=False))
                if area:
                    yield Markup('<path d="{}Z" fill="{}"/>').format(path, trace["fillcolor"])
            lower = points
            if not line["width"]:
                continue
            for run in _runs(points):
                path = "".join(_segments(run, steps=line.get("shape") == "vh"))
                yield Markup(
                    '<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linejoin="round"/>'
                ).format(path, line["color"], line["width"])
            last = next((p for p in reversed(points) if p), None)
            if last and points[-1] and trace["marker"]["size"][-1]:
                yield _mark(*last, trace["marker"]["symbol"], line["color"])

    def _shapes(self) -> Iterator[Markup]:
        for shape in self._layout["shapes"]:
            axis = self._layout.get("yaxis" + shape["yref"][1:]) if shape["yref"] != "paper" else None
            xs = [
                self._x(v) if shape["xref"] == "x" else self._paper_x(v) for v in (shape["x0"], shape["x1"])
            ]
            ys = [self._y(axis, v) if axis else self._paper_y(v) for v in (shape["y0"], shape["y1"])]
            line = shape["line"]
            yield _line(
                xs[0], ys[0], xs[1], ys[1], line["color"], line["width"], _DASH.get(line.get("dash"), "")
            )

    def _texts(self) -> Iterator[Markup]:
        for note in self._layout["annotations"]:
            x = self._x(note["x"]) if note["xref"] == "x" else self._paper_x(note["x"])
            y = self._paper_y(note["y"]) - note["yshift"] + 11
            anchor = {"left": "start", "right": "end"}[note["xanchor"]]
            yield _label(x + note["xshift"], y, _markup(note["text"]), anchor, note["font"]["size"])

    def _x(self, at_ms: float) -> float:
        return self._left + (self._right - self._left) * (at_ms - self._x0) / ((self._x1 - self._x0) or 1)

    def _y(self, axis: Mapping[str, Any], value: float) -> float:
        (low, high), (start, end) = axis["range"], axis["domain"]
        return self._paper_y(start + (end - start) * (value - low) / ((high - low) or 1))

    def _paper_x(self, share: float) -> float:
        return self._left + (self._right - self._left) * share

    def _paper_y(self, share: float) -> float:
        return self._bottom - (self._bottom - self._top) * share


def _time_ticks(start_ms: float, end_ms: float) -> list[float]:
    span_s = (end_ms - start_ms) / 1000
    step = 1000 * next((s for s in _TIME_STEPS_S if span_s / s <= 7), 7200)
    return [i * step for i in range(math.ceil(start_ms / step), math.floor(end_ms / step) + 1)]


def _runs(points: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    """The runs of points between gaps. No line is drawn across a gap."""
    run: list[tuple[float, float]] = []
    for point in [*points, None]:
        if point is not None:
            run.append(point)
        elif run:
            yield run
            run = []


def _segments(run: Sequence[tuple[float, float]], *, steps: bool) -> Iterator[str]:
    for i, (x, y) in enumerate(run):
        if i == 0:
            yield f"M{x:.1f} {y:.1f}"
        elif steps:
            yield f"V{y:.1f}H{x:.1f}"
        else:
            yield f"L{x:.1f} {y:.1f}"


def _mark(x: float, y: float, symbol: str, colour: str) -> Markup:
    """The mark at the end of a line: a circle for stable, a diamond for the canary."""
    if symbol == "circle":
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}"/>').format(x, y, colour)
    return Markup('<path d="M{:.1f} {:.1f}l5 5l-5 5l-5 -5z" fill="{}"/>').format(x, y - 5, colour)


def _triangle(x: float, y: float, colour: str) -> Markup:
    return Markup('<path d="M{:.1f} {:.1f}l4 6h-8z" fill="{}"/>').format(x, y, colour)


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float, more: str = "") -> Markup:
    path = f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
    return Markup('<path d="{}" stroke="{}" stroke-width="{}" fill="none"{}/>').format(
        path, colour, width, more
    )


def _label(x: float, y: float, text: str, anchor: str, size: float) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" font-size="{}">{}</text>').format(
        x, y, anchor, size, text
    )


def _markup(text: str) -> Markup:
    """The text of an annotation, in which plotly allows a few tags and entities, as SVG."""
    bold = text.startswith("<b>")
    plain = text.removeprefix("<b>").removesuffix("</b>")
    coloured = _SPAN.search(plain)
    if coloured:
        colour, glyph = coloured.groups()
        rest = _plain(plain[coloured.end() :])
        return Markup('<tspan fill="{}">{}</tspan>{}').format(colour, _plain(glyph), rest)
    return (
        Markup('<tspan font-weight="650">{}</tspan>').format(_plain(plain)) if bold else escape(_plain(plain))
    )


def _plain(text: str) -> str:
    return html.unescape(str(text))
