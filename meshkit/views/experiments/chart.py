"""The chart of an experiment: requests, errors and latencies of each version over time.

Rows from top to bottom: p99, p90, p50, errors, requests, over one time axis; a gutter at the right shows the
name and the latest values of each row. A line through all rows marks a change of settings, with its number.
A live view keeps a ``Series``, which only adds
points; ``experiment_chart`` draws a run that is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meshkit.decide.experiments.comparison import summed
from meshkit.facts import ArmCounts
from meshkit.operations.experiments.recording import ExperimentRun, Measured
from meshkit.views.charts import rows
from meshkit.views.charts.chart import Chart
from meshkit.views.charts.rows import CANARY, MARK, STABLE, Figure, Row, Values

MEAN_S = 3.0
"""A point covers the samples of so many seconds: one second at a low rate has too few requests."""
COLOURS = (STABLE, CANARY, "#7A5195", "#5F8D2A")
GLYPHS = ("●", "◆", "◆", "◆")
ALL = "all"
ROWS = (
    Row("p99", "p99 latency", "ms", 2.2, 0),
    Row("p90", "p90 latency", "ms", 1.6, 0),
    Row("p50", "p50 latency", "ms", 1.6, 0),
    Row("errors", "Errors", "%", 1.4, 1),
    Row("rps", "Requests", "/s", 1.4, 0),
)
_LEAST_HIGH = {"ms": 100.0, "%": 2.0, "/s": 10.0}
"""The least upper end of a row, by its unit."""
_QUANTILES = {"p99": 0.99, "p90": 0.9, "p50": 0.5}


@dataclass
class Series:
    """The points of a run's Service, by row and line; ``caller`` None is all callers."""

    caller: str | None = None
    lines: tuple[str, ...] = ()
    at_s: list[float] = field(default_factory=list)
    values: dict[tuple[str, str], list[float | None]] = field(default_factory=dict)
    _seen: int = 0
    _recent: list[Measured] = field(default_factory=list)

    def follow(self, run: ExperimentRun, caller: str | None = None) -> Series:
        """Add the samples that came since; another caller starts from the beginning."""
        fresh = self if caller == self.caller and self.lines else Series(caller, lines_of(run))
        for at_s, samples in _by_time(run.samples[fresh._seen :]):
            fresh._add(run, at_s, samples)
        fresh._seen = len(run.samples)
        return fresh

    def _add(self, run: ExperimentRun, at_s: float, samples: Sequence[Measured]) -> None:
        own = [
            each
            for each in samples
            if each.service == run.route.service and self.caller in (None, each.caller)
        ]
        if not own and self._recent and self._recent[-1].at_s > at_s - MEAN_S:
            return  # a reading of another service alone
        self._recent = [each for each in self._recent if each.at_s > at_s - MEAN_S] + own
        windows = {each.at_s: each.seconds for each in self._recent} | {at_s: samples[0].seconds}
        seconds = sum(windows.values())
        self.at_s.append(at_s)
        for line in self.lines:
            counts = summed(each.counts for each in self._recent if line in (ALL, each.version))
            for row in ROWS:
                self.values.setdefault((row.key, line), []).append(_value(row, counts, seconds))


def lines_of(run: ExperimentRun) -> tuple[str, ...]:
    """The lines of the chart: the versions of the route, and all requests."""
    return (*(version.name for version in run.route.versions[: len(COLOURS)]), ALL)


def experiment_chart(run: ExperimentRun, caller: str | None = None) -> Chart:
    """The chart of an experiment, as a picture and as text: ``mk.experiment_chart(run)``."""
    return Chart(figure_data(Series().follow(run, caller), run), summary(run))


def summary(run: ExperimentRun) -> str:
    """A run in words: its settings in order, with the counts of each version under each."""
    lines = [f"Experiment {run.id} with {run.route.namespace}/{run.route.service} on {run.mesh}."]
    for number, change in enumerate(run.settings):
        lines.append(f"{number}. from {change.at_s:.0f} s: {change.settings}")
        for version in run.route.versions:
            counts = run.counts(version.name, setting=number)
            if counts.requests:
                lines.append(f"   {version.name}: {words(counts)}")
    return "\n".join(lines)


def words(counts: ArmCounts) -> str:
    """Counts in words."""
    share = 100 * (counts.error_share or 0.0)
    latency = ", ".join(
        f"{name} {ms:.0f} ms"
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
        if (ms := counts.quantile_ms(q)) is not None
    )
    return f"{counts.requests} requests, {share:.1f} % failed" + (f", {latency}" if latency else "")


def figure_data(series: Series, run: ExperimentRun) -> Figure:
    """The figure as JSON for plotly. The number and order of traces never change while a run goes on."""
    zero_s = datetime.fromisoformat(run.started).timestamp()
    now_s = series.at_s[-1] if series.at_s else 0.0
    end_s = run.ended_s if run.ended_s is not None else rows.window_s(now_s)
    x = [rows.epoch_ms(zero_s + at_s) for at_s in series.at_s]
    layout = rows.layout(ROWS, [zero_s, zero_s + max(end_s, now_s, 1.0)], height_px=520)
    traces = []
    for number, row in enumerate(ROWS, start=1):
        axis = "" if number == 1 else str(number)
        shown = {line: series.values.get((row.key, line), []) for line in _lines(row, run)}
        high = _high(row, shown.values())
        layout[f"yaxis{axis}"] |= {"range": [-0.04 * high, high], "tickvals": rows.ticks(-0.04 * high, high)}
        for index, (line, values) in enumerate(shown.items()):
            traces.append(_trace(row, f"y{axis}", x, line, values, index))
        layout["annotations"] += rows.gutter(ROWS, number - 1, list(_gutter(row, shown)))
    for number, change in enumerate(run.settings[1:], start=1):
        shape, label = rows.moment(zero_s + change.at_s, str(number))
        layout["shapes"].append(shape)
        layout["annotations"] += label
    return {"data": traces, "layout": layout}


def _lines(row: Row, run: ExperimentRun) -> tuple[str, ...]:
    """The lines of a row: all requests only where versions do not have all of them."""
    return tuple(line for line in lines_of(run) if line != ALL or row.unit != "ms")


def _value(row: Row, counts: ArmCounts, seconds: float) -> float | None:
    if row.key == "rps":
        return round(counts.requests / seconds, 1) if seconds else None
    if row.key == "errors":
        return None if counts.error_share is None else round(100 * counts.error_share, 2)
    found = counts.quantile_ms(_QUANTILES[row.key])
    return None if found is None else round(found, 1)


def _by_time(samples: Sequence[Measured]) -> Iterator[tuple[float, list[Measured]]]:
    found: dict[float, list[Measured]] = {}
    for sample in samples:
        found.setdefault(sample.at_s, []).append(sample)
    yield from sorted(found.items())


def _high(row: Row, lines: Any) -> float:
    """The upper end of a row: the least one, grown by half until every value is within it."""
    most = max((value for line in lines for value in line if value is not None), default=0.0)
    high = _LEAST_HIGH[row.unit]
    while high < 1.05 * most:
        high *= 1.5
    return min(high, 105.0) if row.unit == "%" else round(high, 3)


def _trace(row: Row, axis: str, x: list[float], line: str, values: Values, index: int) -> dict[str, Any]:
    if line == ALL:
        return rows.line(x, values, row, axis, name=line, color=MARK, width=1.6)
    width, symbol = (1.6, "circle") if index == 0 else (2.3, "diamond")
    return rows.line(x, values, row, axis, name=line, color=COLOURS[index], width=width, symbol=symbol)


def _gutter(row: Row, shown: Mapping[str, Values]) -> Iterator[tuple[str, str, str]]:
    """The lines of a row, named, with their latest values."""
    for index, (line, values) in enumerate(shown.items()):
        glyph = "─" if line == ALL else rows.coloured(GLYPHS[index], COLOURS[index])
        yield glyph, rows.short(line), row.latest(values)
