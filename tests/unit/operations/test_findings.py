"""Findings read as a table in text, and as counts for exit codes."""

from __future__ import annotations

import pytest

from meshkit.errors import Unhealthy
from meshkit.facts import Finding
from meshkit.operations.health import Findings

FOUND = Findings(
    (
        Finding("MK0401", "error", "Deployment a/b", "it is <gone>.", "Bring it back."),
        Finding("MK0802", "warning", "Secret a/c", "it ends soon.", "Rotate it."),
    )
)


def test_the_table_has_what_and_what_to_do() -> None:
    assert str(FOUND).splitlines() == [
        "error    MK0401   Deployment a/b",
        "                  it is <gone>. Bring it back.",
        "warning  MK0802   Secret a/c",
        "                  it ends soon. Rotate it.",
        "1 error, 1 warning.",
    ]
    assert str(Findings()) == "No problems were found."


@pytest.mark.parametrize(
    ("found", "strict", "code"),
    [(FOUND, False, 1), (FOUND, True, 1), (FOUND[1:], True, 5), (FOUND[1:], False, 0), ((), True, 0)],
)
def test_required_health_is_an_error_with_its_exit_code(
    found: tuple[Finding, ...], strict: bool, code: int
) -> None:
    if not code:
        Findings(found).require(strict=strict)
        return
    with pytest.raises(Unhealthy, match=r"First: .*") as raised:
        Findings(found).require(strict=strict)
    assert raised.value.exit_code == code
