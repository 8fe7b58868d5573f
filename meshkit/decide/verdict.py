"""A verdict as data: the action, the reasons and the numbers; rule.py computes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meshkit.decide.sample_windows import SampleWindow

Action = Literal["continue", "promote", "rollback", "pause", "undecided"]


@dataclass(frozen=True)
class Progress:
    """The progress of a release: ``step`` (-1 before the first) and seconds by the caller's clock.

    ``step_elapsed_s`` counts from when the measured share agreed with the requested one, None until then.
    ``forced``: a person sent the canary to 100 % before the evidence sufficed.
    """

    step: int
    step_elapsed_s: float | None
    elapsed_s: float
    held: bool = False
    forced: bool = False


@dataclass(frozen=True)
class Condition:
    """One condition of a step or of the promotion: ``value`` against ``limit`` in ``unit``.

    ``needed`` says whether the current step waits for it.
    """

    name: str
    value: float
    limit: float
    unit: str
    met: bool
    needed: bool


@dataclass(frozen=True)
class Verdict:
    """The action and its reasons.

    ``summary`` has at most 30 words: what happened, how sure that is, what follows; ``sentences`` unfold it.
    ``harm`` and ``harm_limit`` are odds against 1; ``numbers`` holds the values used in ``sentences``.
    ``label`` says what the stated error rate covers: ``per request``, ``pods not measured``, ``few
    pods``, ``pods measured``, ``calibrated on A/A``, ``against your objective``, ``shared cause``, or what
    requests were compared that no weight has dealt out (``LEAD_LABELS`` of rule.py).
    """

    action: Action
    sentences: tuple[str, ...]
    harm: float
    harm_limit: float
    conditions: tuple[Condition, ...]
    numbers: Mapping[str, float]
    label: str = ""
    summary: str = ""

    @property
    def told(self) -> tuple[str, ...]:
        """The summary, then the sentences that unfold it, each once."""
        return tuple(dict.fromkeys(each for each in (self.summary, *self.sentences) if each))

    @property
    def open(self) -> tuple[Condition, ...]:
        """The conditions of this step that are not met."""
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
            "summary": self.summary,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Verdict:
        """The verdict that ``as_record`` stored."""
        fields = {**record, "sentences": tuple(record["sentences"])}
        fields["conditions"] = tuple(Condition(*c) for c in record["conditions"])
        return cls(**fields)


@dataclass(frozen=True)
class JudgedWindow:
    """A sample window and the verdict after it, for charts, panels and reports."""

    look: SampleWindow
    verdict: Verdict


def _short(value: float) -> float:
    """Round to four significant digits, for people who read the journal; never to infinity."""
    rounded = float(f"{value:.4g}") if isinstance(value, float) else value
    return rounded if math.isfinite(rounded) else value
