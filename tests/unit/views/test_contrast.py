"""Text can be read in both themes: the palette's pairs reach WCAG 2.2 AA, computed from the stylesheet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshkit.views import report

CSS = (Path(report.__file__).parent / "style.css").read_text()
TEXT, MARK = 4.5, 3.0
"""The least contrast of text and of what is no text (success criteria 1.4.3 and 1.4.11)."""
TEXT_PAIRS = [
    *((text, ground) for text in ("text", "muted") for ground in ("page", "card", "note-bg", "code")),
    *((text, f"{tone}-bg") for text in ("text", "muted") for tone in ("good", "bad", "warn")),
    *((tone, ground) for tone in ("good", "bad", "warn") for ground in ("page", "card", f"{tone}-bg")),
    *((text, "card") for text in ("stable-text", "canary-text", "action")),
    ("action", "page"),
    ("action", "note-bg"),
    ("on-action", "action"),
]
MARK_PAIRS = [(mark, "card") for mark in ("stable", "canary", "mark")]
THEMES = {
    "light": ".mk {",
    "dark": 'body[data-jp-theme-light="false"] .mk {',
    "dark page": "body.mk-page .mk {",
}


def palette(theme: str) -> dict[str, str]:
    """The colours of a theme; a dark one changes some of the light ones."""
    names: dict[str, str] = {}
    for each in ("light", theme):
        block = CSS.partition(THEMES[each])[2].partition("}")[0]
        names |= dict(re.findall(r"--mk-([a-z-]+): *(#[0-9a-fA-F]{3,6})", block))
    return names


def luminance(colour: str) -> float:
    """Relative luminance of ``#rgb`` or ``#rrggbb`` as WCAG 2.2 defines it."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_agrees_with_known_values() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_can_be_read_on_its_ground(theme: str) -> None:
    colours = palette(theme)
    assert len(colours) > 20
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in TEXT_PAIRS}
    assert {pair: round(value, 2) for pair, value in poor.items() if value < TEXT} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_every_mark_stands_out_from_its_ground(theme: str) -> None:
    colours = palette(theme)
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in MARK_PAIRS}
    assert {pair: round(value, 2) for pair, value in poor.items() if value < MARK} == {}


def test_both_dark_themes_are_the_same() -> None:
    assert palette("dark") == palette("dark page")
