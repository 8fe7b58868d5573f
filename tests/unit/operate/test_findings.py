"""Findings show themselves: as a table in text, in HTML without scripts, and as counts for exit codes."""

from __future__ import annotations

from meshkit.facts import Finding
from meshkit.operate.health import Findings

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
        "1 errors, 1 warnings.",
    ]
    assert str(Findings()) == "Nothing was found."


def test_html_is_escaped() -> None:
    assert "it is &lt;gone&gt;." in FOUND._repr_html_()
    assert "<gone>" not in FOUND._repr_html_()
