"""Match regular expressions that somebody else wrote in linear time.

Proxies and kube-apiserver use RE2, which never backtracks; the regex crate of the CEL package has the same
property. Its work is at most the number of states of the pattern times the length of the text. That product
is bounded, because matching blocks the interpreter.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cel import Program

MAX_WORK = 5_000_000
_MAX_CACHED_CHARACTERS = 512
_MAX_PATTERN_CHARACTERS = 5_000
_CLASS_STATES = 200  # of a class of Unicode letters or digits
_CLASSES = (".", "]", *(f"\\{letter}" for letter in "pPwWdDsS"))
_PART = re.compile(r"\\[pPwWdDsS]|\\.|\[\^?\]?(?:\\.|[^\]\\])*+\]?|\{(\d*),?(\d*)\}|.", re.DOTALL)
_NOT_RE2 = re.compile(r"\\[<>]|\\[bB]\{|\(\?[a-zA-Z]*x")
_NOT_RE2_IN_CLASS = re.compile(r"&&|--|~~|(?<!\\)\[(?!:)")
"""What the regex crate takes for boundaries, flags, set operations and nested classes, and RE2 does not."""
_OF_ASCII = re.compile(r"\\[wWdDsSbB]|\(\?[a-zA-Z]*i")
"""What means ASCII in RE2 and Unicode in the regex crate."""


class TooCostly(Exception):
    """Raised when matching a text against a pattern would take too long."""


class Unreadable(Exception):
    """Raised for a pattern that is invalid, or that this engine reads in another way than RE2."""


def matches(pattern: str, text: str) -> bool:
    """Return whether a pattern matches anywhere in a text. Raises Unreadable or TooCostly."""
    if len(text) <= _MAX_CACHED_CHARACTERS:
        return _cached(pattern, text)
    return _matches(pattern, text)


@functools.lru_cache(maxsize=4096)
def _cached(pattern: str, text: str) -> bool:
    return _matches(pattern, text)


def _matches(pattern: str, text: str) -> bool:
    if len(pattern) > _MAX_PATTERN_CHARACTERS or states(pattern) * len(text) > MAX_WORK:
        raise TooCostly(
            f"a text of {len(text)} characters takes too long to match against a pattern of this size"
        )
    if _differs(pattern) or (not text.isascii() and _OF_ASCII.search(pattern)):
        raise Unreadable(f"{pattern!r} for this text")
    try:
        return bool(_program().execute({"text": text, "pattern": pattern}))
    except (RuntimeError, ValueError) as error:
        raise Unreadable(repr(pattern)) from error


def _differs(pattern: str) -> bool:
    classes = (part[0][1:] for part in _PART.finditer(pattern) if part[0].startswith("["))
    return bool(_NOT_RE2.search(pattern)) or any(_NOT_RE2_IN_CLASS.search(each) for each in classes)


@functools.cache
def _program() -> Program:
    import cel  # takes 0.15 s, and most schemas have no pattern

    return cel.compile("text.matches(pattern)")


@functools.lru_cache(maxsize=1024)
def states(pattern: str) -> int:
    """Return an upper bound of the states of a pattern whose counted repetitions are expanded."""
    open_groups: list[int] = []
    total = last = 0  # states of the current group, and of its last part
    for part in _PART.finditer(pattern):
        written = part.group()
        if written == "(":
            open_groups.append(total)
            total = last = 0
        elif written == ")" and open_groups:
            last = total
            total += open_groups.pop()
        elif part[1] or part[2]:
            times = max(int(count[:9]) for count in part.groups() if count)
            total += last * max(0, times - 1)
            last *= max(1, times)
        elif written in ("*", "+", "?"):
            total += 1
        else:
            is_class = written in _CLASSES or (written[0] == "[" and ("\\" in written or written[:2] == "[^"))
            last = _CLASS_STATES if is_class else 1
            total += last
    return max(1, total + sum(open_groups))
