"""The graph of a glance as a picture: boxes in columns, calls between them, a lock on each call.

With more than ``ROOMY`` workloads each is one line, and what a lock and a number would say is told under the
pointer, by dashes and by colour.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from meshkit.decide.formatting import percent, rate
from meshkit.operations.glance.model import NO_SIDECAR, Connection, Glance, Workload, measured
from meshkit.views.glance.layout import Layout, layout
from meshkit.views.glance.shapes import (
    Dash,
    Point,
    Role,
    Scene,
    Shape,
    Target,
    Text,
    arrow_head,
    box,
    curve,
    icon,
)

ROOMY = 40
FAILING_PERCENT = 1.0
"""From this share on, failed requests are shown in the colour of errors."""
WIDTH = 1120.0
_EDGE, _PILL = 14.0, 56.0
_BOX, _PILLS = 1, 4
"""Levels of drawing above the lines; icons take the two above their box or pill."""
_STATES: Mapping[str, tuple[str, Role]] = {"error": ("bad", "bad"), "warning": ("warn", "warn")}
_LOCKS: Mapping[str, tuple[str, Role, Dash]] = {
    "mutual TLS": ("locked", "mark", ""),
    "plain text": ("open", "warn", "dash"),
    "not known": ("unknown", "mark", "dot"),
}


@dataclass(frozen=True)
class _Size:
    """The measures of one box, and of the steps from box to box."""

    width: float
    height: float
    column: float
    row: float
    most_rows: int


_ROOM = _Size(138, 56, 256, 84, 12)
_TIGHT = _Size(170, 20, 236, 25, 44)


def graph_scene(glance: Glance) -> Scene:
    """Draw the workloads of a glance and the calls between them."""
    roomy = len(glance.workloads) <= ROOMY
    size = _ROOM if roomy else _TIGHT
    names = [each.name for each in glance.workloads]
    calls = [(each.source, each.destination) for each in glance.connections]
    placed = layout(names, calls, size.most_rows, around=roomy)
    if roomy:
        size = replace(size, row=_row(placed, calls, size))
    corners, width, height = _corners(placed.columns, placed.silent, size, roomy=roomy)
    scene = Scene(width, height, label=_label(glance))
    lines = _lines(glance.connections, corners, placed.passes, size)
    taken: list[tuple[float, float, float, float]] = [
        (x, y, x + size.width, y + size.height) for name, (x, y) in corners.items() if name in set(names)
    ]
    for connection in sorted(glance.connections, key=lambda each: each.lock == "plain text"):
        _draw_call(scene, connection, lines[connection.source, connection.destination], roomy=roomy)
    for workload in glance.workloads:
        _draw_workload(scene, workload, corners[workload.name], size, roomy=roomy)
    for connection in sorted(glance.connections, key=lambda c: _steepness(lines[c.source, c.destination])):
        _draw_lock(scene, connection, lines[connection.source, connection.destination], taken, roomy=roomy)
    return scene


def _row(placed: Layout, calls: Sequence[tuple[str, str]], size: _Size) -> float:
    """The step from row to row that leaves room for the pills of the calls between two columns."""
    column_of = {name: number for number, column in enumerate(placed.columns) for name in column}
    pills = Counter(column_of[end] for _, end in calls if end in column_of)
    heights = [len(column) for column in placed.columns]
    needed = [
        _PILL * number / ((heights[column] + heights[max(column - 1, 0)]) / 2)
        for column, number in pills.items()
    ]
    return min(2 * size.row, max(size.row, *needed, 0))


def _corners(
    columns: Sequence[Sequence[str]], silent: Sequence[str], size: _Size, *, roomy: bool
) -> tuple[dict[str, Point], float, float]:
    """The upper left corner of each box, and the size of the whole."""
    gap = size.column
    if len(columns) > 1 and roomy:
        gap = max(size.column, (WIDTH - 2 * _EDGE - size.width) / (len(columns) - 1))
        gap = min(gap, 1.6 * size.column)
    width = max(WIDTH, 2 * _EDGE + gap * max(len(columns) - 1, 0) + size.width)
    rows = max((len(column) for column in columns), default=0)
    height = 2 * _EDGE + max(rows, 1 if columns else 0) * size.row
    found: dict[str, Point] = {}
    left = _EDGE if len(columns) != 1 else (width - size.width) / 2
    for number, column in enumerate(columns):
        top = _EDGE + (rows - len(column)) * size.row / 2 + (size.row - size.height) / 2
        for row, name in enumerate(column):
            found[name] = (round(left + number * gap, 1), round(top + row * size.row, 1))
    step = size.width + 20
    per_row = max(1, int((width - 2 * _EDGE + 20) // step))
    for number, name in enumerate(silent):
        row, place = divmod(number, per_row)
        found[name] = (_EDGE + place * step, round(height + row * (size.height + 12), 1))
    if silent:
        height += math.ceil(len(silent) / per_row) * (size.height + 12) + _EDGE
    return found, round(width, 1), round(height, 1)


def _lines(
    connections: Sequence[Connection],
    corners: Mapping[str, Point],
    passes: Mapping[tuple[str, str], Sequence[str]],
    size: _Size,
) -> dict[tuple[str, str], tuple[Point, ...]]:
    """The line of each call. Its ends are spread over the sides of the boxes: no two share a point."""
    out: dict[str, list[str]] = defaultdict(list)
    into: dict[str, list[str]] = defaultdict(list)
    for each in connections:
        chain = passes.get((each.source, each.destination), ())
        out[each.source].append(chain[0] if chain else each.destination)
        into[each.destination].append(chain[-1] if chain else each.source)
    starts, stops = _ports(out, corners, size), _ports(into, corners, size)
    steps = 14 if len(corners) <= ROOMY * 2 else 7
    lines = {}
    for each in connections:
        chain = passes.get((each.source, each.destination), ())
        start = starts[each.source, chain[0] if chain else each.destination]
        stop = stops[each.destination, chain[-1] if chain else each.source]
        points = [(corners[each.source][0] + size.width, start)]
        for name in chain:
            x, y = corners[name]
            points += [(x, y + size.height / 2), (x + size.width, y + size.height / 2)]
        points.append((corners[each.destination][0], stop))
        line = [point for a, b in zip(points[::2], points[1::2], strict=True) for point in curve(a, b, steps)]
        lines[each.source, each.destination] = tuple(line)
    return lines


def _ports(
    others: Mapping[str, Sequence[str]], corners: Mapping[str, Point], size: _Size
) -> dict[tuple[str, str], float]:
    """The height at which the call between a box and each of the others leaves or reaches the box."""
    return {
        (name, other): corners[name][1] + size.height * number / (len(ends) + 1)
        for name, ends in others.items()
        for number, other in enumerate(sorted(ends, key=lambda each: (corners[each][1], each)), start=1)
    }


def _draw_call(scene: Scene, connection: Connection, line: tuple[Point, ...], *, roomy: bool) -> None:
    _, role, dash = _LOCKS[connection.lock]
    width = round(2 * (1.4 + 1.1 * math.log10(1 + connection.requests_per_s))) / 2 if roomy else 1.0
    if not roomy and role == "mark":
        role, width = "line", 0.6
    scene.shapes.append(Shape(line, role, width, dash))
    scene.shapes.append(Shape(arrow_head(line[-1], 8 if roomy else 5), role, 1, fill=role))


def _draw_workload(scene: Scene, workload: Workload, corner: Point, size: _Size, *, roomy: bool) -> None:
    x, y = corner
    kind, role = _state(workload)
    dash: Dash = "" if workload.place == "mesh" else "dash"
    scene.shapes.append(Shape(box(x, y, size.width, size.height), role, 1.4, dash, "card", _BOX))
    middle = y + (19 if roomy else size.height / 2)
    if roomy or kind != "good":
        scene.shapes += icon(kind, x + 15, middle, _BOX + 1)
    room = 12 if roomy else 18
    scene.texts.append(
        Text((x + 28, middle + 4.5), _short(workload.title, room), size=13 if roomy else 12, bold=roomy)
    )
    if roomy:
        failing = (workload.error_percent or 0) >= FAILING_PERCENT
        told = f"{rate(workload.requests_per_s)}/s" if workload.requests_per_s else "no callers seen"
        scene.texts.append(Text((x + 28, y + 43), told, "muted"))
        if workload.error_percent is not None:
            shown = percent(round(workload.error_percent, 1))
            at = (x + size.width - 10, y + 43)
            scene.texts.append(Text(at, shown, "bad" if failing else "muted", anchor="end", bold=failing))
    lines = tuple(workload_lines(workload))
    target = Target(
        (x + size.width / 2, y + size.height / 2), lines, {"workload": workload.name}, size.height
    )
    scene.targets.append(target)


def _draw_lock(
    scene: Scene,
    connection: Connection,
    line: tuple[Point, ...],
    taken: list[tuple[float, float, float, float]],
    *,
    roomy: bool,
) -> None:
    """The lock and the numbers of a call in a pill on its line, where nothing else stands yet."""
    kind, _, _ = _LOCKS[connection.lock]
    means = {"source": connection.source, "destination": connection.destination}
    told = tuple(connection_lines(connection))
    if not roomy:
        at = line[len(line) // 2]
        if connection.lock == "plain text":
            scene.shapes += icon(kind, *at, _PILLS)
        scene.targets.append(Target(at, told, means, 9))
        return
    texts = _pill_texts(connection)
    width = max(30 + 6.8 * len(texts[0].text), *(16 + 5.8 * len(each.text) for each in texts), 56)
    height = 8 + 13.0 * len(texts)
    places = list(_places(line, width))
    x, y = min(places, key=lambda at: _overlap(at, width, height, taken))
    taken.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    border: Role = "warn" if connection.lock == "plain text" else "line"
    pill = box(x - width / 2, y - height / 2, width, height, 10)
    scene.shapes.append(Shape(pill, border, 1, fill="card", level=_PILLS))
    scene.shapes += icon(kind, x - width / 2 + 13, y - height / 2 + 10, _PILLS + 1)
    for number, text in enumerate(texts):
        left = x - width / 2 + (24 if number == 0 else 8)
        scene.texts.append(replace(text, at=(left, y - height / 2 + 14 + 13 * number)))
    scene.targets.append(Target((x, y), told, means, max(height, 22)))


def _pill_texts(connection: Connection) -> list[Text]:
    """Requests; errors and p99; the measured share of the asked one. What is not known is left out."""
    origin = (0.0, 0.0)
    texts = [Text(origin, f"{rate(connection.requests_per_s)}/s")]
    numbers = []
    failing = (connection.error_percent or 0) >= FAILING_PERCENT
    if connection.error_percent is not None:
        numbers.append(percent(round(connection.error_percent, 1)))
    if connection.p99_ms is not None:
        numbers.append(f"{connection.p99_ms:.0f}\N{NO-BREAK SPACE}ms")
    if numbers:
        texts.append(Text(origin, " · ".join(numbers), "bad" if failing else "muted", 11))
    if connection.asked_percent is not None:
        share = round(connection.measured_percent or 0.0, 1)
        texts.append(Text(origin, f"{share:g} of {percent(round(connection.asked_percent, 1))}", "muted", 11))
    return texts


def _places(line: Sequence[Point], width: float) -> Iterator[Point]:
    """Where a pill may stand on its line: the middle first, and between the two boxes if it fits there."""
    left, right = line[0][0] + width / 2 + 4, line[-1][0] - width / 2 - 9
    middle = (len(line) - 1) / 2
    for x, y in sorted(line, key=lambda point: abs(line.index(point) - middle)):
        yield (min(max(x, left), right) if left < right else x), y


def _steepness(line: Sequence[Point]) -> float:
    """How far a line climbs: level lines have the fewest places for a pill, and choose first."""
    return abs(line[-1][1] - line[0][1])


def _overlap(
    at: Point, width: float, height: float, taken: Sequence[tuple[float, float, float, float]]
) -> float:
    """The area that a pill around a point would share with what stands already."""
    half_x, half_y = width / 2 + 3, height / 2 + 3
    x0, y0, x1, y1 = at[0] - half_x, at[1] - half_y, at[0] + half_x, at[1] + half_y
    return sum(
        max(0.0, min(x1, right) - max(x0, left)) * max(0.0, min(y1, bottom) - max(y0, top))
        for left, top, right, bottom in taken
    )


def _state(workload: Workload) -> tuple[str, Role]:
    """The icon of a workload and the colour of its border: its worst finding, else where it is."""
    if workload.worst and workload.worst in _STATES:
        return _STATES[workload.worst]
    if workload.name == NO_SIDECAR:
        return "open", "warn"
    return ("good", "mark") if workload.place == "mesh" else ("unknown", "mark")


def workload_lines(workload: Workload) -> Iterator[str]:
    """What is known of a workload, in lines."""
    yield workload.name
    if workload.place != "mesh":
        yield "outside the mesh" if workload.place == "outside" else "not among the pods that were read"
    if workload.requests_per_s:
        failed = (
            "" if workload.error_percent is None else f", {percent(round(workload.error_percent, 2))} failed"
        )
        yield f"{rate(workload.requests_per_s)} requests/s{failed}"
    if workload.candidates:
        yield f"may be: {', '.join(workload.candidates)}"
    for each in workload.findings:
        yield f"{each.severity} {each.code}: {each.message}"
        yield f"  {each.remedy}"


def connection_lines(connection: Connection) -> Iterator[str]:
    """What is known of a connection, in lines."""
    yield f"{connection.source} → {connection.destination}"
    yield connection.lock if connection.lock != "not known" else "whether encrypted is not known"
    failed = connection.error_percent
    yield f"{rate(connection.requests_per_s)} requests/s" + (
        "" if failed is None else f", {percent(round(failed, 2))} failed"
    )
    if connection.p99_ms is not None and connection.p50_ms is not None:
        yield f"p50 {connection.p50_ms:.0f} ms, p99 {connection.p99_ms:.0f} ms"
    if connection.refused_per_s:
        yield f"{rate(connection.refused_per_s)} refused/s"
    if connection.asked_percent is not None:
        yield f"{percent(connection.asked_percent)} asked, {measured(connection)} measured"


def _label(glance: Glance) -> str:
    plain = len(glance.plain)
    return (
        f"{len(glance.workloads)} workloads and {len(glance.connections)} connections, "
        f"{plain} of them in plain text. The table below tells the same."
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
