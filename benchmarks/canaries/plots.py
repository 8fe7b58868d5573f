"""Draw the plots of docs/ideas/verdict.md: ``python -m benchmarks.canaries.plots RESULTS.json docs/images``.

Three pictures as SVG, drawn by hand so that they need no plotting library: how soon each rule finds a
regression, how often it accuses a good release, and how the interval of one release closes in.
"""

from __future__ import annotations

import html
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.canaries import ours
from benchmarks.canaries.contest import RULES
from benchmarks.canaries.results import Cell, Found, from_json
from benchmarks.canaries.traffic import NULLS, POD_NULLS, REGRESSIONS, SCRAPE_S, trace
from meshkit.decide.evidence import Evidence
from meshkit.decide.intervals import slower_percent
from meshkit.decide.sample_windows import SampleWindow
from meshkit.decide.thresholds import Yardstick

COLORS = ("#D97706", "#2A7BC6", "#7FB3E0", "#6B7280", "#A3A3A3", "#9D4EDD")
TEXT, GRID = "#6B7280", "#D1D5DB"
WIDTH, LEFT, ROW, TOP, BOTTOM = 860, 190, 34, 56, 46
_TICKS_S = (10, 20, 60, 120, 300, 600, 1800)
_TRAFFIC = "100 rps, 10 % canary"


def main(results: Path, folder: Path) -> None:
    found = from_json(json.loads(results.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdict-detect.svg").write_text(detect(found))
    (folder / "verdict-false-alarms.svg").write_text(false_alarms(found))
    (folder / "verdict-interval.svg").write_text(interval())


def detect(found: Found) -> str:
    """The median seconds to the roll-back of each regression (log scale); at the right edge: not found."""
    names = [s.name for s in REGRESSIONS]

    def x(seconds: float) -> float:
        seconds = min(max(seconds, 8.0), 3000.0)
        return LEFT + (WIDTH - LEFT - 30) * math.log(seconds / 8) / math.log(3000 / 8)

    parts = [_line(x(t), TOP, x(t), TOP + ROW * len(names), GRID) for t in _TICKS_S]
    parts += [_text(x(t), TOP + ROW * len(names) + 16, f"{t} s", "middle") for t in _TICKS_S]
    parts.append(_text(x(3000), TOP + ROW * len(names) + 16, "not found", "middle"))
    for row, name in enumerate(names):
        y = TOP + ROW * (row + 0.5)
        parts.append(_text(LEFT - 10, y + 4, name, "end"))
        for i in reversed(range(len(RULES))):
            cell = found[_TRAFFIC][name][RULES[i]]
            parts.append(_dot(x(cell.quantile_s(0.5)), y + 3 * (i - 2.5), COLORS[i], 5 if i else 7))
    title = f"Median time to roll back, {_TRAFFIC} (log scale)"
    return _svg(title, parts, TOP + ROW * len(names) + BOTTOM)


def false_alarms(found: Found) -> str:
    """The share of good releases that were rolled back, with its interval, for each rule."""
    names = [s.name for s in (*NULLS, *POD_NULLS)]
    row = 62.0

    def x(percent: float) -> float:
        return LEFT + (WIDTH - LEFT - 30) * percent / 100

    height = TOP + row * len(names)
    parts = [_line(x(t), TOP, x(t), height, GRID) for t in (0, 25, 50, 75, 100)]
    parts += [_text(x(t), height + 16, f"{t} %", "middle") for t in (0, 25, 50, 75, 100)]
    for r, name in enumerate(names):
        parts.append(_text(LEFT - 10, TOP + row * (r + 0.5) + 4, name, "end"))
        for i, rule in enumerate(RULES):
            cell: Cell = found[_TRAFFIC][name][rule]
            share, low, high = cell.percent(cell.rolled_back)
            y = TOP + row * r + 9 + i * 8.5
            parts.append(_line(x(low), y, x(high), y, COLORS[i], 2))
            parts.append(_dot(x(share), y, COLORS[i], 4))
    return _svg(f"Good releases that were rolled back, {_TRAFFIC}", parts, height + BOTTOM)


def interval() -> str:
    """How the interval of p99 closes in over one release whose p99 is truly 20 % longer."""
    times, bounds = _bounds()
    top, low_p, high_p, height = TOP, -40.0, 100.0, 260.0

    def x(seconds: float) -> float:
        return 70 + (WIDTH - 110) * seconds / times[-1]

    def y(percent: float) -> float:
        return top + height * (high_p - min(max(percent, low_p), high_p)) / (high_p - low_p)

    parts = [_line(70, y(p), WIDTH - 40, y(p), GRID) for p in (-40, 0, 20, 60, 100)]
    parts += [_text(62, y(p) + 4, f"{p:+d} %" if p else "0", "end") for p in (-40, 0, 20, 60, 100)]
    parts += [_text(x(60 * m), top + height + 18, f"{m} min", "middle") for m in (0, 5, 10, 15, 20, 25, 30)]
    upper = [f"{x(t):.1f},{y(h):.1f}" for t, (_, h) in zip(times, bounds, strict=True)]
    lower = [f"{x(t):.1f},{y(low):.1f}" for t, (low, _) in zip(times, bounds, strict=True)]
    band = " ".join([*upper, *reversed(lower)])
    parts.append(f'<polygon points="{band}" fill="{COLORS[0]}" fill-opacity="0.28"/>')
    parts.append(_line(70, y(20), WIDTH - 40, y(20), COLORS[0], 2))
    title = "p99 of one canary against stable: the interval that holds at all times together (truth +20 %)"
    return _svg(title, parts, top + height + BOTTOM, legend=())


def _bounds() -> tuple[list[float], list[tuple[float, float]]]:
    made = trace(next(s for s in REGRESSIONS if s.name == "p99 +20 %"), 100, 10, 7)
    release = ours.release_of(made, None)
    baseline = ours.baseline_of(made, None)
    evidence = Evidence.start(Yardstick.of(baseline, release))
    edge = next(m.edge for m in evidence.yardstick.margins if m.quantile == "p99")
    times, bounds = [], []
    looks = (ours.looks_of(arm, baseline) for arm in (made.stable, made.canary))
    for i, arms in enumerate(zip(*looks, strict=True)):
        start_s = i * SCRAPE_S
        warming = start_s < ours.WARM_UP_S
        evidence = evidence.updated(
            SampleWindow(1 + start_s, 11 + start_s, 0, made.percent, True, warming, *arms)
        )
        times.append(start_s + SCRAPE_S)
        bounds.append(slower_percent(evidence, edge))
    return times, bounds


def _svg(title: str, parts: Sequence[str], height: float, legend: Sequence[str] = RULES) -> str:
    shown, at = [], 20.0
    for i, rule in enumerate(legend):
        shown += [_dot(at, 40, COLORS[i], 5), _text(at + 10, 44, rule)]
        at += 30 + 7.2 * len(rule)
    head = f'<text x="12" y="20" font-weight="600">{html.escape(title)}</text>'
    body = "\n".join([head, *shown, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}">\n'
        f"<title>{html.escape(title)}</title>\n{body}\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1) -> str:
    at = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {at} stroke="{color}" stroke-width="{width}"/>'


def _dot(x: float, y: float, color: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
