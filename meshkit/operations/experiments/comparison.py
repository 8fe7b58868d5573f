"""``mk.compare_experiments``: two or more runs side by side, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshkit.decide.experiments.comparison import CountsDifference, LatencyDifference, compare_counts
from meshkit.errors import BadInput
from meshkit.operations.experiments.recording import NO_VERSION, ExperimentRun, data_frame

WARNING = (
    "The runs were not at the same time: an interval covers chance alone, not other differences between them."
)
NUMBERS = ("run", "service", "version", "what", "first", "other", "bounds", "low", "high")
HEADINGS = ("service", "version", "what", "first", "other", "difference", "interval")


@dataclass(frozen=True)
class ComparedVersion:
    """One version of a service in the first run and in another one."""

    service: str
    version: str
    """The version; ``all`` for every request of the service."""
    run: int
    """The number of the other run, 1 for the first one after the first."""
    first_rps: float
    other_rps: float
    difference: CountsDifference

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row for each measurement, as text: ``HEADINGS``."""
        where, found = (self.service, self.version), self.difference
        rates = (f"{self.first_rps:.1f}/s", f"{self.other_rps:.1f}/s")
        yield (*where, "requests", *rates, _percent_text(_change(self.first_rps, self.other_rps)), "")
        errors = (_share(found.first.error_share), _share(found.second.error_share))
        yield (*where, "errors", *errors, "", _odds(found.odds_low, found.odds_high))
        for each in found.latencies:
            change = _percent_text(_change(each.first_ms, each.second_ms))
            yield (*where, each.name, _ms(each.first_ms), _ms(each.second_ms), change, _slower(each))


@dataclass(frozen=True)
class Comparison:
    """The versions of several runs, each compared with the first run."""

    runs: tuple[ExperimentRun, ...]
    confidence: float
    versions: tuple[ComparedVersion, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each version and measurement, with numbers; None where an interval is not bounded."""
        return [row for each in self.versions for row in _numbers(each)]

    def frame(self) -> Any:
        """The rows as a DataFrame. Raises ``BadInput`` where pandas is not installed."""
        return data_frame(self.rows(), NUMBERS)

    @property
    def table(self) -> list[tuple[str, ...]]:
        """The rows as text, with ``HEADINGS``; the interval has the confidence of the comparison."""
        return [row for each in self.versions for row in each.rows()]

    @property
    def heading(self) -> str:
        """What is compared."""
        others = ", ".join(run.id for run in self.runs[1:])
        return f"{self.runs[0].id} (first) and {others}; intervals of {100 * self.confidence:g} %. {WARNING}"

    def __str__(self) -> str:
        lines = [HEADINGS, *self.table]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        padded = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        )
        return "\n".join([self.heading, *(line.rstrip() for line in padded)])

    def __repr__(self) -> str:
        return str(self)


def compare_experiments(
    first: ExperimentRun,
    *others: ExperimentRun,
    setting: int | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare the versions of one or more runs with those of the first.

    ``setting`` limits it to the samples under the settings of that number. The intervals are those of the
    odds of failing, and of how much longer a latency is. They cover chance alone: the runs were not at the
    same time.
    """
    if not others:
        problem = "there is nothing to compare with."
        raise BadInput("others", problem, remedy="Give at least two runs.")
    if not 0.5 <= confidence < 1:
        raise BadInput("confidence", f"{confidence:g} is not from 0.5 to 1.", remedy="Give 0.95, say.")
    found = [
        compared
        for number, other in enumerate(others, start=1)
        for compared in _versions(first, other, number, setting, confidence)
    ]
    return Comparison((first, *others), confidence, tuple(found))


def _versions(
    first: ExperimentRun, other: ExperimentRun, number: int, setting: int | None, confidence: float
) -> Iterator[ComparedVersion]:
    samples = (*first.samples, *other.samples)
    named: dict[str, set[str]] = {sample.service: set() for sample in samples}
    for sample in samples:
        named[sample.service] |= {sample.version} - {NO_VERSION, sample.service}
    pairs = [(service, version) for service in named for version in (None, *sorted(named[service]))]
    for service, version in pairs:
        counts = [run.counts(version, service=service, setting=setting) for run in (first, other)]
        rates = [
            each.requests / seconds if (seconds := _seconds(run, service, setting)) else 0.0
            for each, run in zip(counts, (first, other), strict=True)
        ]
        difference = compare_counts(*counts, confidence=confidence)
        yield ComparedVersion(service, version or "all", number, rates[0], rates[1], difference)


def _seconds(run: ExperimentRun, service: str, setting: int | None) -> float:
    """The time that the samples of a service cover."""
    windows = {
        sample.at_s: sample.seconds
        for sample in run.samples
        if sample.service == service and setting in (None, sample.setting)
    }
    return sum(windows.values())


def _numbers(compared: ComparedVersion) -> Iterator[dict[str, Any]]:
    where = {"run": compared.run, "service": compared.service, "version": compared.version}
    found = compared.difference
    yield {**where, "what": "rps", "first": compared.first_rps, "other": compared.other_rps} | _bounds()
    shares = {"first": found.first.error_share, "other": found.second.error_share}
    low, high = found.odds_low or None, found.odds_high
    yield {**where, "what": "error_share", **shares} | _bounds("odds ratio", low, _finite(high))
    for each in found.latencies:
        ms = {"first": each.first_ms, "other": each.second_ms}
        low = each.low_percent if each.low_percent > -100 else None
        yield {**where, "what": f"{each.name}_ms", **ms} | _bounds("percent", low, _finite(each.high_percent))


def _bounds(unit: str = "", low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"bounds": unit, "low": low, "high": high}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _change(first: float | None, other: float | None) -> float | None:
    return 100 * (other / first - 1) if first and other is not None else None


def _percent_text(change: float | None) -> str:
    return "" if change is None else f"{change:+.0f} %".replace("-", "\u2212")


def _share(share: float | None) -> str:
    return "no requests" if share is None else f"{100 * share:.2f} %"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _odds(low: float, high: float) -> str:
    if low == 0 and math.isinf(high):
        return "not bounded"
    if math.isinf(high):
        return f"odds at least {low:.3g} times"
    return f"odds at most {high:.3g} times" if low == 0 else f"odds {low:.3g} to {high:.3g} times"


def _slower(each: LatencyDifference) -> str:
    low, high = each.low_percent, each.high_percent
    if low <= -100 and math.isinf(high):
        return "not bounded"
    if math.isinf(high):
        return f"at least {_percent_text(low)}"
    return (
        f"at most {_percent_text(high)}" if low <= -100 else f"{_percent_text(low)} to {_percent_text(high)}"
    )
