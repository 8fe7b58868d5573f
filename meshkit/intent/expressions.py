"""Check that a regular expression is one that proxies read: RE2, which has less than Python's."""

from __future__ import annotations

import re
import warnings

MAX_LENGTH = 1024
"""The longest expression that Gateway API takes for a path or a query parameter."""
_MAX_REPETITIONS = 1000
_PIECE = re.compile(
    r"(?P<escape>\\.)"
    r"|(?P<characters>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<possessive>(?:[*+?]|\{\d*,?\d*\})\+)"
    r"|\{(?P<least>\d*),?(?P<most>\d*)\}"
    r"|(?P<extension>\(\?(?!:|P<\w+>|-?[ims]+[:)]|[ims]+-[ims]+:))"
    r"|.",
    re.DOTALL,
)
_ESCAPES = frozenset("AbBdDsSwWafnrtvx")
"""The letters that mean the same after a backslash in Python and in RE2."""


def readable(text: str) -> str:
    """Return an expression that every proxy reads. Raises ValueError, which tells what it cannot read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
    except (re.error, OverflowError) as problem:
        raise ValueError(f"{text!r} is no regular expression: {problem}") from problem
    except RecursionError as problem:
        raise ValueError("the groups of the expression are nested too deeply") from problem
    for piece in _PIECE.finditer(text):
        if what := _unreadable(piece):
            raise ValueError(f"{text!r} has {what}, which proxies (RE2) cannot read")
    return text


def _unreadable(piece: re.Match[str]) -> str:
    """What RE2 lacks of one piece of an expression; empty if it has it."""
    found = piece[0]
    if piece["characters"]:
        escapes = (f"\\{letter}" for letter in re.findall(r"\\(.)", found, re.DOTALL))
        return next((what for what in map(_unreadable_escape, escapes) if what), "")
    if piece["escape"]:
        return _unreadable_escape(found)
    if piece["possessive"]:
        return f"the possessive quantifier {found!r}"
    if piece["extension"]:
        return "a group that looks around, refers back or changes how it is read ('(?...')"
    if any(number and int(number) > _MAX_REPETITIONS for number in (piece["least"], piece["most"])):
        return f"more than {_MAX_REPETITIONS} repetitions"
    return ""


def _unreadable_escape(escape: str) -> str:
    known = not escape[1].isalnum() or escape[1] in _ESCAPES
    return "" if known else f"the reference or escape {escape!r}"
