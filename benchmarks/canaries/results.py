"""What a contest found: for each cell (traffic, scenario, rule) when it rolled back, and what that is worth.

Shares have Clopper-Pearson intervals, medians those of order statistics, both 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEVER = math.inf
_ALPHA = 0.05


@dataclass(frozen=True)
class Cell:
    """One rule on one scenario: seconds to the roll-back of each release (NEVER: none), the canary's requests
    by then, and how many releases were promoted (None: the rule promotes nothing by itself here).
    """

    seconds: tuple[float, ...]
    requests: tuple[float, ...]
    promoted: int | None = None

    def __add__(self, other: Cell) -> Cell:
        """The releases of both."""
        promoted = None if self.promoted is None else self.promoted + (other.promoted or 0)
        return Cell(self.seconds + other.seconds, self.requests + other.requests, promoted)

    @property
    def releases(self) -> int:
        return len(self.seconds)

    @property
    def rolled_back(self) -> int:
        return sum(math.isfinite(s) for s in self.seconds)

    def percent(self, count: int) -> tuple[float, float, float]:
        """A count of releases in percent, with its interval."""
        low, high = share_interval(count, self.releases)
        return 100 * count / self.releases, 100 * low, 100 * high

    def quantile_s(self, q: float) -> float:
        return sorted(self.seconds)[min(self.releases - 1, math.ceil(q * self.releases) - 1)]

    @property
    def median_interval_s(self) -> tuple[float, float]:
        """Between which two of the ordered times the median lies."""
        half = 0.98 * math.sqrt(self.releases)
        ordered = sorted(self.seconds)
        low, high = math.floor(self.releases / 2 - half), math.ceil(self.releases / 2 + half)
        return ordered[max(0, low)], ordered[min(self.releases - 1, high)]

    @property
    def median_requests(self) -> float:
        return sorted(self.requests)[(self.releases - 1) // 2]


def share_interval(count: int, n: int) -> tuple[float, float]:
    """The Clopper-Pearson interval, by bisection of the binomial distribution."""

    def at_most(k: int, p: float) -> float:
        return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))

    low = 0.0 if count == 0 else _bisected(lambda p: 1 - at_most(count - 1, p) < _ALPHA / 2)
    high = 1.0 if count == n else _bisected(lambda p: at_most(count, p) > _ALPHA / 2)
    return low, high


def _bisected(below: object) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)  # type: ignore[operator]
    return low


Found = Mapping[str, Mapping[str, Mapping[str, Cell]]]
"""Traffic -> scenario -> rule -> cell."""


def as_json(found: Found) -> dict[str, object]:
    """Numbers only; never is null."""
    return {
        traffic: {
            scenario: {
                rule: {
                    "seconds": [s if math.isfinite(s) else None for s in cell.seconds],
                    "requests": list(cell.requests),
                    "promoted": cell.promoted,
                }
                for rule, cell in rules.items()
            }
            for scenario, rules in scenarios.items()
        }
        for traffic, scenarios in found.items()
    }


def from_json(record: Mapping[str, Mapping[str, Mapping[str, Mapping[str, object]]]]) -> Found:
    return {
        traffic: {
            scenario: {
                rule: Cell(
                    tuple(NEVER if s is None else float(s) for s in cell["seconds"]),  # type: ignore[attr-defined]
                    tuple(cell["requests"]),  # type: ignore[arg-type]
                    cell["promoted"],  # type: ignore[arg-type]
                )
                for rule, cell in rules.items()
            }
            for scenario, rules in scenarios.items()
        }
        for traffic, scenarios in record.items()
    }


def markdown(found: Found, rules: Sequence[str]) -> str:
    """A table for each traffic: rolled back, median and 95th percentile of the time, median requests."""
    lines = []
    for traffic, scenarios in found.items():
        lines += ["", f"### {traffic}", ""]
        lines += [f"| scenario (releases) | {' | '.join(rules)} | meshkit promotes |"]
        lines += ["|" + "---|" * (len(rules) + 2)]
        for scenario, cells in scenarios.items():
            shown = [_shown(cells[rule]) if rule in cells else "" for rule in rules]
            ours = cells["meshkit"]
            share, low, high = ours.percent(ours.promoted or 0)
            name = f"{scenario} ({ours.releases})"
            lines.append(f"| {name} | {' | '.join(shown)} | {share:.3g} % [{low:.2g}, {high:.3g}] |")
    return "\n".join(lines[1:])


def _shown(cell: Cell) -> str:
    share, low, high = cell.percent(cell.rolled_back)
    said = f"{share:.3g} % [{low:.2g}, {high:.3g}]"
    if 2 * cell.rolled_back < cell.releases:
        return said
    late = cell.quantile_s(0.95)
    return (
        f"{said} {cell.quantile_s(0.5):.0f} / {late:.0f} s ({cell.median_requests:,.0f})"
        if math.isfinite(late)
        else f"{said} {cell.quantile_s(0.5):.0f} / - s ({cell.median_requests:,.0f})"
    )
