"""One measured number with its target, and how a list of them is printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A quantity measured n times. ``target`` is what is aimed at, in the same unit, if anything."""

    name: str
    unit: str
    values: tuple[float, ...]
    target: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "median", "min", "max", "n", "target")]
    for f in figures:
        numbers = [f"{v:.3g} {f.unit}" for v in (f.median, min(f.values), max(f.values))]
        rows.append(
            (f.name, *numbers, str(len(f.values)), "-" if f.target is None else f"{f.target:g} {f.unit}")
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
