"""Text that others wrote, made safe to print: characters that a terminal obeys are shown as escapes.

Names of custom resources, messages of events, logs of pods and the output of Helm come from a cluster. In
them may be sequences that move the cursor, set the title of a window or turn the reading direction, so that
a person sees something else than what is there. XML allows none of these characters either.
"""

from __future__ import annotations

import re

_OBEYED = (
    "\x00-\x08\x0b-\x1f\x80-\x9f"  # the controls, without tab and line feed
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, and marks without width
    "\u2028\u2029"  # the separators of lines and paragraphs
    "\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f"  # half characters, no characters, invisible tags
)
_CONTROLS = re.compile(f"[{_OBEYED}]")
_CONTROLS_AND_BREAKS = re.compile(f"[{_OBEYED}\t\n]")
_STYLE = re.compile(r"(\x1b\[(?:0|1|2|3[0-7])m)")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def visible(text: str) -> str:
    """Show every character that a terminal would obey as an escape; lines stay lines."""
    return _CONTROLS.sub(_escape, text.replace("\r\n", "\n"))


def visible_line(text: str) -> str:
    """Like ``visible``, in one line: a line break in a cell of a table would forge a row."""
    return _CONTROLS_AND_BREAKS.sub(_escape, text)


def visible_beside_colors(text: str) -> str:
    """Like ``visible``, for a text that meshkit itself has coloured."""
    return "".join(part if _STYLE.fullmatch(part) else visible(part) for part in _STYLE.split(text))


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
