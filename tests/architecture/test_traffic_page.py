"""docs/reference/traffic.md says what the planners refuse."""

from __future__ import annotations

from tools.traffic import PAGE, page


def test_the_page_is_generated_from_the_limits_of_each_mesh() -> None:
    assert PAGE.read_text() == page(), "run: python -m tools.traffic"
