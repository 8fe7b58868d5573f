"""What a picture of a glance is made of: lines, areas and texts in one coordinate system, y downwards.

Both renderers, SVG and plotly, draw these. Colours are roles, whose values each renderer knows for light and
dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Point = tuple[float, float]
Role = Literal["", "text", "muted", "line", "mark", "card", "good", "bad", "warn"]
"""The colour of a stroke, an area or a text; empty draws none."""
Dash = Literal["", "dash", "dot"]
_ROUND = 3
"""Points of a rounded corner."""


@dataclass(frozen=True)
class Shape:
    """A line, or with ``fill`` an area, through points. What has a higher ``level`` is drawn later."""

    points: tuple[Point, ...]
    stroke: Role = "mark"
    width: float = 1.2
    dash: Dash = ""
    fill: Role = ""
    level: int = 0


@dataclass(frozen=True)
class Text:
    """A line of text; ``at`` is on its base line, at its start, middle or end."""

    at: Point
    text: str
    role: Role = "text"
    size: int = 12
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


@dataclass(frozen=True)
class Target:
    """A place that tells more under the pointer, and what a click on it means."""

    at: Point
    lines: tuple[str, ...]
    means: Mapping[str, Any]
    size: float = 22.0


@dataclass
class Scene:
    """A picture: its size in pixels, and its parts in the order of drawing."""

    width: float
    height: float
    label: str = ""
    shapes: list[Shape] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)


def in_levels(scene: Scene) -> list[Shape]:
    """The shapes in the order of drawing."""
    return sorted(scene.shapes, key=lambda each: each.level)


def moved(scene: Scene, dx: float, dy: float) -> Scene:
    """The same picture at another place."""

    def to(at: Point) -> Point:
        return at[0] + dx, at[1] + dy

    return Scene(
        scene.width + dx,
        scene.height + dy,
        scene.label,
        [replace(each, points=tuple(map(to, each.points))) for each in scene.shapes],
        [replace(each, at=to(each.at)) for each in scene.texts],
        [replace(each, at=to(each.at)) for each in scene.targets],
    )


def box(x: float, y: float, width: float, height: float, radius: float = 6.0) -> tuple[Point, ...]:
    """A rectangle with rounded corners, closed."""
    corners = (
        (x + width - radius, y + radius, -90),
        (x + width - radius, y + height - radius, 0),
        (x + radius, y + height - radius, 90),
        (x + radius, y + radius, 180),
    )
    points = [
        _on_circle(cx, cy, radius, start + 90 * step / _ROUND)
        for cx, cy, start in corners
        for step in range(_ROUND + 1)
    ]
    return (*points, points[0])


def circle(x: float, y: float, radius: float, steps: int = 16) -> tuple[Point, ...]:
    """A circle as a closed polygon."""
    return tuple(_on_circle(x, y, radius, 360 * step / steps) for step in range(steps + 1))


def curve(start: Point, end: Point, steps: int = 16) -> tuple[Point, ...]:
    """A curve from the right side of one box to the left side of another, level at both ends.

    A call back, to the left, swings out at both sides.
    """
    (x0, y0), (x1, y1) = start, end
    reach = (x1 - x0) / 2 if x1 > x0 + 20 else 70.0
    return tuple(_bezier(x0, y0, x0 + reach, x1 - reach, x1, y1, step / steps) for step in range(steps + 1))


def arrow_head(end: Point, size: float = 8.0) -> tuple[Point, ...]:
    """The head of an arrow that ends at the left side of a box."""
    x, y = end
    return ((x, y), (x - size, y - size / 2), (x - size, y + size / 2), (x, y))


def icon(kind: str, x: float, y: float, level: int) -> list[Shape]:
    """A state's icon around a point: each has its own shape, so that colour is not needed."""
    above = level + 1
    if kind == "good":
        tick = ((x - 3.2, y + 0.2), (x - 0.9, y + 2.5), (x + 3.3, y - 2.4))
        return [
            Shape(circle(x, y, 6), "good", 1, fill="good", level=level),
            Shape(tick, "card", 1.6, level=above),
        ]
    if kind == "bad":
        cross = (((x - 2.4, y - 2.4), (x + 2.4, y + 2.4)), ((x + 2.4, y - 2.4), (x - 2.4, y + 2.4)))
        turned = tuple(_on_circle(x, y, 6.6, 22.5 + 45 * step) for step in range(9))
        strokes = (Shape(line, "card", 1.6, level=above) for line in cross)
        return [Shape(turned, "bad", 1, fill="bad", level=level), *strokes]
    if kind == "warn":
        triangle = ((x, y - 6), (x + 7, y + 6), (x - 7, y + 6), (x, y - 6))
        bang = (((x, y - 2), (x, y + 2)), ((x, y + 3.4), (x, y + 4.6)))
        strokes = (Shape(line, "card", 1.6, level=above) for line in bang)
        return [Shape(triangle, "warn", 1, fill="warn", level=level), *strokes]
    if kind in ("locked", "open"):
        return _lock(x, y, level, is_open=kind == "open")
    ring = Shape(circle(x, y, 6), "muted", 1.3, "dot", level=level)
    return [ring, Shape(((x - 2.6, y), (x + 2.6, y)), "muted", 1.4, level=level)]


def _lock(x: float, y: float, level: int, *, is_open: bool) -> list[Shape]:
    """A padlock: filled and closed, or an outline with its shackle open."""
    role: Role = "warn" if is_open else "good"
    body = Shape(box(x - 4.5, y - 1, 9, 7, 1.2), role, 1.2, fill="" if is_open else role, level=level)
    turn = 3 if is_open else 0
    arc = [_on_circle(x - turn, y - 3, 3, 180 + 180 * step / 6) for step in range(7)]
    points = (*arc, (arc[-1][0], y - 1)) if is_open else ((x - 3, y - 1), *arc, (x + 3, y - 1))
    return [body, Shape(tuple(points), role, 1.5, level=level)]


def _on_circle(x: float, y: float, radius: float, degrees: float) -> Point:
    angle = math.radians(degrees)
    return round(x + radius * math.cos(angle), 2), round(y + radius * math.sin(angle), 2)


def _bezier(x0: float, y0: float, x1: float, x2: float, x3: float, y3: float, t: float) -> Point:
    """A point of a cubic curve whose handles are level with its ends."""
    a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    return round(a * x0 + b * x1 + c * x2 + d * x3, 1), round((a + b) * y0 + (c + d) * y3, 1)
