"""A scene as a plotly figure: shapes of one style are one trace, so that 1,500 lines are a few traces.

One unit of both axes is one pixel. The colours are those of light pages; style.css turns each into the one of
the reader's theme.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape

from meshkit.views.glance.shapes import Scene, Shape, Text, in_levels

COLOURS = {
    "text": "#1b1c1e",
    "muted": "#595959",
    "line": "#c3c7cc",
    "mark": "#7f7f7f",
    "card": "#fefefe",
    "good": "#00687a",
    "bad": "#b42318",
    "warn": "#9a7400",
}
_ANCHORS = {"start": "middle right", "middle": "middle center", "end": "middle left"}
_NONE = "rgba(0,0,0,0)"
_BASE = 0.36
"""The base line of a text lies this share of its size below its middle."""


def figure(scene: Scene) -> dict[str, Any]:
    """The figure as JSON data, as ``LiveChart`` shows it; a click gives what a target means."""
    return {"data": [*_shapes(scene), *_texts(scene), _targets(scene)], "layout": _layout(scene)}


def _shapes(scene: Scene) -> Iterator[dict[str, Any]]:
    styles: dict[tuple[Any, ...], list[Shape]] = {}
    for shape in in_levels(scene):
        key = (shape.level, bool(shape.fill), shape.stroke, shape.width, shape.dash, shape.fill)
        styles.setdefault(key, []).append(shape)
    for (_, _, stroke, width, dash, fill), shapes in styles.items():
        x: list[float | None] = []
        y: list[float | None] = []
        for shape in shapes:
            x += [*(point[0] for point in shape.points), None]
            y += [*(point[1] for point in shape.points), None]
        line = {"color": COLOURS.get(stroke, _NONE), "width": width, "dash": dash or "solid"}
        filled = {"fill": "toself", "fillcolor": COLOURS[fill]} if fill else {}
        yield _trace(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **filled)


def _texts(scene: Scene) -> Iterator[dict[str, Any]]:
    styles: dict[tuple[Any, ...], list[Text]] = {}
    for text in scene.texts:
        styles.setdefault((text.role, text.size, text.anchor), []).append(text)
    for (role, size, anchor), texts in styles.items():
        yield _trace(
            x=[each.at[0] for each in texts],
            y=[round(each.at[1] - _BASE * size, 1) for each in texts],
            text=[_text(each) for each in texts],
            mode="text",
            textposition=_ANCHORS[anchor],
            textfont={"size": size, "color": COLOURS[role]},
            hoverinfo="skip",
        )


def _text(text: Text) -> str:
    return str(Markup("<b>{}</b>").format(text.text) if text.bold else escape(text.text))


def _targets(scene: Scene) -> dict[str, Any]:
    return _trace(
        x=[each.at[0] for each in scene.targets],
        y=[each.at[1] for each in scene.targets],
        text=[str(Markup("<br>").join(each.lines)) for each in scene.targets],
        customdata=[dict(each.means) for each in scene.targets],
        mode="markers",
        marker={"size": [each.size for each in scene.targets], "opacity": 0},
        hovertemplate="%{text}<extra></extra>",
    )


def _trace(**parts: Any) -> dict[str, Any]:
    return {"type": "scatter", "cliponaxis": False, "showlegend": False, **parts}


def _layout(scene: Scene) -> dict[str, Any]:
    axis = {"visible": False, "fixedrange": True}
    return {
        "width": scene.width,
        "height": scene.height,
        "autosize": False,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "showlegend": False,
        "hovermode": "closest",
        "hoverdistance": 12,
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "dragmode": False,
        "paper_bgcolor": _NONE,
        "plot_bgcolor": _NONE,
        "xaxis": {**axis, "range": [0, scene.width]},
        "yaxis": {**axis, "range": [scene.height, 0]},
    }
