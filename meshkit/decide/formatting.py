"""Format numbers for people: durations, percentages, evidence, counts, changes."""

from __future__ import annotations

import datetime as dt
import math

_SPACE = "\N{NO-BREAK SPACE}"


def seconds(value: float) -> str:
    """A duration for people: ``45 s``, ``4:30 min``, ``3.5 h``, ``never``."""
    if value == math.inf:
        return "never"
    if value < 120:
        return f"{value:.0f}{_SPACE}s"
    if value < 7200:
        return f"{int(value) // 60}:{int(value) % 60:02d}{_SPACE}min"
    return f"{value / 3600:.3g}{_SPACE}h"


def stamp(at_s: float) -> str:
    """The date and the time of day in UTC of a time in epoch seconds."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def percent(value: float) -> str:
    """A percentage for people: ``0.5 %``."""
    return f"{value:.4g}{_SPACE}%"


def odds(value: float) -> str:
    """Evidence for people: ``14 : 1``, at most ``> 999 : 1`` and at least ``< 0.01 : 1``."""
    return f"{odds_number(value)}{_SPACE}:{_SPACE}1"


def odds_number(value: float) -> str:
    """Evidence for people, without the ``: 1``."""
    if value < 0.01:
        return f"<{_SPACE}0.01" if value > 0 else "0"
    return "> 999" if value > 999 else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def count(value: float) -> str:
    """A whole number with no-break spaces between thousands."""
    return f"{value:,.0f}".replace(",", _SPACE)


def rate(value: float) -> str:
    """Requests a second for people: ``0.25``, ``1 200``."""
    return count(value) if value >= 100 else f"{value:.3g}"


def share_of(part: float, whole: float, share_percent: float | None) -> str:
    """Format ``9 of 30 (30 %)``; without the percentage if there is none."""
    share = "" if share_percent is None else f" ({share_percent:.3g}{_SPACE}%)"
    return f"{count(part)} of {count(whole)}{share}"


def worse(low_percent: float | None, high_percent: float | None) -> str:
    """``12 to 31 % worse``, ``between 3 % better and 43 % worse``, ``at least 12 % worse``."""
    low = -100.0 if low_percent is None else low_percent
    if high_percent is None:
        return f"at least {_whole(low)}{_SPACE}% worse" if low > 0 else "worse"
    if low < 0 < high_percent:
        return f"between {_whole(-low)}{_SPACE}% better and {_whole(high_percent)}{_SPACE}% worse"
    if high_percent <= 0:
        return f"{_whole(-high_percent)} to {_whole(-low)}{_SPACE}% better"
    return f"{_whole(low)} to {_whole(high_percent)}{_SPACE}% worse"


def _whole(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
