"""Parse durations and percentages in the meshes' resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")


def duration_s(text: str | None) -> float | None:
    """Parse ``1h30m``, ``0.5s`` or ``500ms`` to seconds; None for no text. Raises ValueError otherwise."""
    if not text:
        return None
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 1h30m or 500ms")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def percent(written: Mapping[str, Any]) -> float:
    """The percentage of an Istio fault. Without one the fault affects no request."""
    return float((written.get("percentage") or {}).get("value") or 0.0)
