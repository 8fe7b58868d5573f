"""Finding codes, and the findings made from them."""

from __future__ import annotations

from dataclasses import dataclass

from meshkit.facts import Finding, Severity


@dataclass(frozen=True)
class Code:
    """One kind of finding. ``id`` never changes its meaning once it is published."""

    id: str
    """``MK0103``: the first two digits name the block, the last two the code in it."""
    severity: Severity
    meaning: str
    """What is wrong, in one sentence."""
    reason: str
    """The consequence, in one sentence."""
    remedy: str
    """The default remedy, for findings without a more specific one."""
    also: Severity | None = None
    """A second severity that findings with this code may have."""


def finding(
    code: Code, obj: str, message: str, remedy: str = "", *, severity: Severity | None = None
) -> Finding:
    """Make a finding about an object, by default with the severity and the remedy of its code.

    Raises ``ValueError`` for a severity that the code does not allow.
    """
    if severity not in (None, code.severity, code.also):
        raise ValueError(f"{code.id} may not be of severity {severity!r}")
    return Finding(code.id, severity or code.severity, obj, message, remedy or code.remedy)
