"""A finding takes its severity and remedy from its code, and says where the code is explained."""

from __future__ import annotations

import pytest

from meshkit import codes
from meshkit.facts import Finding

CODE = codes.Code("MK9901", "warning", "It is so.", "It matters.", "Do it.", also="error")


def test_severity_and_remedy_come_from_the_code() -> None:
    assert codes.finding(CODE, "Pod a/b", "it is so.") == Finding(
        "MK9901", "warning", "Pod a/b", "it is so.", "Do it."
    )


def test_the_other_severity_and_a_remedy_of_its_own_are_said() -> None:
    made = codes.finding(CODE, "Pod a/b", "it is so.", "Do that.", severity="error")
    assert (made.severity, made.remedy) == ("error", "Do that.")


def test_a_severity_that_the_code_does_not_allow_is_refused() -> None:
    with pytest.raises(ValueError, match="MK9901 may not be of severity 'info'"):
        codes.finding(CODE, "Pod a/b", "it is so.", severity="info")


def test_a_finding_links_to_its_explanation() -> None:
    made = codes.finding(CODE, "Pod a/b", "it is so.")
    assert made.anchor == "reference/findings.md#mk9901"
    assert made.as_record()["docs"] == "reference/findings.md#mk9901"


def test_a_code_of_another_program_has_no_link() -> None:
    foreign = Finding("IST<0102", "info", "Pod a/b", "it is so.", "See there.")
    assert foreign.anchor == ""
