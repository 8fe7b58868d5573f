"""A verdict as data: what to do now, why, and the numbers behind it. It is taken in rule.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meshkit.decide.sample_windows import SampleWindow

Action = Literal["continue", "promote", "rollback", "pause", "undecided"]


@dataclass(frozen=True)
class Progress:
    """Where a release stands: ``step`` (-1 before the first) and seconds by the caller's clock.

    ``step_elapsed_s`` counts from when the measured share agreed with the asked one, None until then.
    ``forced``: a person sent the canary to 100 % before the evidence did.
    """

    step: int
    step_elapsed_s: float | None
    elapsed_s: float
    held: bool = False
    forced: bool = False


@dataclass(frozen=True)
class Condition:
    """One thing a step or the promotion waits for. ``value`` against ``limit`` in ``unit``; ``needed`` at
    this step.
    """

    name: str
    value: float
    limit: float
    unit: str
    met: bool
    needed: bool


@dataclass(frozen=True)
class Verdict:
    """What to do now and why. ``harm`` and ``harm_limit`` are odds against 1; ``numbers`` holds what
    sentences say. ``label`` says what the stated error rate covers: ``per request``, ``pods not measured``,
    ``pods measured``, ``calibrated on A/A``, ``against your objective`` or ``shared cause``.
    """

    action: Action
    sentences: tuple[str, ...]
    harm: float
    harm_limit: float
    conditions: tuple[Condition, ...]
    numbers: Mapping[str, float]
    label: str = ""

    @property
    def open(self) -> tuple[Condition, ...]:
        """What is needed at this step and not yet met."""
        return tuple(c for c in self.conditions if c.needed and not c.met)

    def as_record(self) -> dict[str, Any]:
        """A small JSON object: what the journal stores."""
        return {
            "action": self.action,
            "sentences": list(self.sentences),
            "harm": _short(self.harm),
            "harm_limit": _short(self.harm_limit),
            "conditions": [
                [c.name, _short(c.value), _short(c.limit), c.unit, c.met, c.needed] for c in self.conditions
            ],
            "numbers": {name: _short(value) for name, value in self.numbers.items()},
            "label": self.label,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Verdict:
        """The verdict that ``as_record`` stored."""
        fields = {**record, "sentences": tuple(record["sentences"])}
        fields["conditions"] = tuple(Condition(*c) for c in record["conditions"])
        return cls(**fields)


@dataclass(frozen=True)
class JudgedWindow:
    """A look and the verdict after it: what charts, panels and reports are drawn from."""

    look: SampleWindow
    verdict: Verdict


def _short(value: float) -> float:
    """Four significant digits: the journal is read by people."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
