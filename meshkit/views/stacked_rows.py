"""The layout of a chart of rows above each other, which share the axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TEXT = "#767676"
"""Readable on a light page and on a dark one."""
_GAP = 0.035
"""The part of the height between two rows."""
_SECONDS_SHOWN_MS = 600_000
"""A longer axis of time has no seconds in its labels."""


def layout(heights: Sequence[float], x_range_ms: Sequence[float], *, height_px: int) -> dict[str, Any]:
    """The plotly layout of rows with these relative heights, from the top, over a range of epoch ms."""
    short = x_range_ms[1] - x_range_ms[0] < _SECONDS_SHOWN_MS
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
            "range": list(x_range_ms),
            "anchor": f"y{len(heights)}",
            "tickformat": "%H:%M:%S" if short else "%H:%M",
            "showgrid": False,
            "fixedrange": True,
        },
    }
    for number, (low, high) in enumerate(domains(heights), start=1):
        found[f"yaxis{'' if number == 1 else number}"] = {
            "domain": [low, high],
            "anchor": "x",
            "gridcolor": "rgba(127,127,127,0.22)",
            "zeroline": False,
            "fixedrange": True,
        }
    return found


def domains(heights: Sequence[float]) -> list[tuple[float, float]]:
    """The vertical range of each row, from 0 at the bottom to 1."""
    unit = (1 - _GAP * (len(heights) - 1)) / sum(heights)
    top, found = 1.0, []
    for height in heights:
        found.append((max(round(top - unit * height, 4), 0.0), round(top, 4)))
        top -= unit * height + _GAP
    return found
