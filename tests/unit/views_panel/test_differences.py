"""The card "canary against stable": what it says of an interval, and where it draws it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshkit.views.release.differences_html import Difference, differences, drawn
from tests.unit.views_panel.releases import RELEASE, release_after


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-2.0, 3.25, "−2 to +3.2 %"),
        (None, 12.0, "up to +12 %"),
        (31.0, None, "from +31 %"),
        (None, None, "not known yet"),
        (0.0, 104.0, "0 to +104 %"),
    ],
)
def test_an_interval_is_told_in_words(low: float | None, high: float | None, text: str) -> None:
    assert Difference("p99", low, high, 10, "%").text.replace("\N{NO-BREAK SPACE}", " ") == text


def test_each_margin_has_a_row_whatever_is_known() -> None:
    for verdict in (None, release_after(20).verdict):
        shown = drawn(RELEASE, verdict)
        assert shown.count("mk-limit") == 4
        assert [each.name for each in differences(RELEASE, verdict)] == ["p50", "p90", "p99", "errors"]


def test_an_interval_within_its_margin_ends_before_the_limit() -> None:
    verdict = release_after(20).verdict
    assert verdict is not None
    numbers = {"errors_low_points": -1.0, "errors_high_points": RELEASE.margins.error_points}
    shown = drawn(RELEASE, replace(verdict, numbers=numbers))
    assert 'style="left:34.0%;width:36.0%"' in shown
    assert shown.count("not known yet") == 3
