"""The canary against stable: the interval of each difference on one scale. A pure function of the verdict.

"same" and the limit stand at the same places in every row; each row is scaled to its own limit. An interval
that has no end reaches the edge of the drawing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from meshkit.decide.verdict import Verdict
    from meshkit.intent.release import Release

_SAME, _LIMIT = 40.0, 70.0
"""Where no difference and the limit stand, in percent of the width."""
_SPACE, _MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Difference:
    """How much worse the canary is in one respect; None: there is no bound on that side."""

    name: str
    low: float | None
    high: float | None
    limit: float
    unit: str

    @property
    def text(self) -> str:
        """The interval in words."""
        if self.low is None and self.high is None:
            return "not known yet"
        if self.high is None:
            return f"from {_signed(self.low or 0.0)}{_SPACE}{self.unit}"
        if self.low is None:
            return f"up to {_signed(self.high)}{_SPACE}{self.unit}"
        return f"{_signed(self.low)} to {_signed(self.high)}{_SPACE}{self.unit}"


def differences(release: Release, verdict: Verdict | None) -> tuple[Difference, ...]:
    """The differences of the margins of a release, in the order of the card."""
    numbers = verdict.numbers if verdict else {}
    found = []
    for name in ("p50", "p90", "p99"):
        low, high = (numbers.get(f"{name}_{end}_percent") for end in ("low", "high"))
        limit: float = getattr(release.margins, f"{name}_percent")
        found.append(Difference(name, None if low is None or low <= -100 else low, high, limit, "%"))
    low, high = (numbers.get(f"errors_{end}_points") for end in ("low", "high"))
    return (*found, Difference("errors", low, high, release.margins.error_points, "points"))


def drawn(release: Release, verdict: Verdict | None) -> Markup:
    """The differences as rows: the name, the interval in words, and the interval as a bar."""
    return Markup('<div class="mk-differences">{}{}</div>').format(
        Markup(
            '<span></span><span class="mk-muted mk-number">difference</span>'
            '<span class="mk-scale mk-muted" aria-hidden="true"><i style="left:{}%">same</i>'
            '<i style="left:{}%">limit</i></span>'
        ).format(_SAME, _LIMIT),
        Markup("").join(_rows(differences(release, verdict))),
    )


def _rows(found: tuple[Difference, ...]) -> Iterator[Markup]:
    for each in found:
        unknown = each.low is None and each.high is None
        low, high = _place(each.low, each.limit, 0.0), _place(each.high, each.limit, 100.0)
        bar = Markup('<i style="left:{:.1f}%;width:{:.1f}%"></i>').format(low, max(high - low, 1.0))
        yield Markup(
            '<span>{}</span><span class="mk-number">{}</span><span class="mk-scale" aria-hidden="true">'
            '<b style="left:{}%"></b><b class="mk-limit" style="left:{}%"></b>{}</span>'
        ).format(each.name, each.text, _SAME, _LIMIT, "" if unknown else bar)


def _place(value: float | None, limit: float, unbounded: float) -> float:
    """Where a difference stands, in percent of the width."""
    if value is None:
        return unbounded
    scale = limit or 1.0
    return min(max(_SAME + (_LIMIT - _SAME) * value / scale, 0.0), 100.0)


def _signed(value: float) -> str:
    shown = f"{abs(value):.0f}" if abs(value) >= 10 else f"{abs(value):.2g}"
    sign = "" if float(shown) == 0 else "+" if value > 0 else _MINUS
    return f"{sign}{shown}"
