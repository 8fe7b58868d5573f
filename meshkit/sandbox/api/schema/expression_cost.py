"""Bound the work of a CEL expression before it runs: nothing can interrupt it, and everything waits for it.

kube-apiserver counts costs while an expression runs and ends it at a limit. The package that evaluates
expressions here cannot, so the work is bounded from the text of the expression (which macros stand inside
each other, what can make values grow) and the size of the value that it reads. Estimates are upper bounds:
rules of published definitions stay far below the limit.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from meshkit.sandbox.api.schema import patterns

MAX_SOURCE_CHARACTERS = 10_000  # a longer one may overflow the stack of the parser
MAX_MADE = 100_000  # items or characters that a function may make
MAX_EXPRESSION_NS = 300_000_000
MAX_OBJECT_NS = 4_000_000_000  # of all the rules of one object
_MAX_GROWN_BYTES = 50_000_000
_STEP_NS, _COPY_ITEM_NS, _STATE_NS, _CALL_NS, _CONVERT_NS = 100, 20, 5, 3_000, 100

# Text (raw, in triple or single quotes) and comments; what is not closed ends with the source.
_RAW = r"(?<!\w)[bB]?[rR][bB]?"
_QUOTED = (
    rf"{_RAW}'''(?:[^']|'(?!''))*+(?:'''|\Z)",
    rf'{_RAW}"""(?:[^"]|"(?!""))*+(?:"""|\Z)',
    rf"{_RAW}(?:'[^']*'?|\"[^\"]*\"?)",
    r"'''(?:\\.|[^'\\]|'(?!''))*+(?:'''|\Z)",
    r'"""(?:\\.|[^"\\]|"(?!""))*+(?:"""|\Z)',
    r"'(?:\\.|[^'\\])*+'?",
    r'"(?:\\.|[^"\\])*+"?',
    r"//[^\n]*",
)
_TEXT = re.compile("|".join(_QUOTED), re.DOTALL)
_TOKEN = re.compile(r"[A-Za-z_]\w*|[0-9.]+|\S")
_MATCHES = re.compile(r"\bmatches\s*\(")
_MATCHES_TEXT = re.compile(r"\bmatches\s*\(\s*''\s*\)")
_COLLECTING = frozenset({"map", "filter"})
_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", *_COLLECTING})
_SPLITTING = frozenset({"split", "findAll", "range", "flatten"})


@dataclass
class _Loop:
    """A macro, or the expression as a whole; ``steps`` are those outside of the macros in it."""

    collects: bool = False
    steps: int = 0
    inner: list[_Loop] = field(default_factory=list)

    def once_ns(self, items: int) -> int:
        """The work of evaluating the body once."""
        return self.steps * _STEP_NS + sum(loop.whole_ns(items) for loop in self.inner)

    def whole_ns(self, items: int) -> int:
        """The work of the loop; ``map`` and ``filter`` copy their result at each item."""
        return items * self.once_ns(items) + (items * items * _COPY_ITEM_NS if self.collects else 0)

    @property
    def depth(self) -> int:
        """How many loops stand inside each other, from the expression as a whole (0) on."""
        return max((1 + loop.depth for loop in self.inner), default=0)


@dataclass(frozen=True)
class Measure:
    """The size of a value: the values in it, the items of its widest collection, its longest text."""

    values: int
    widest: int
    longest: int


def measured(*values: Any) -> Measure:
    """The measure of some values together."""
    count = widest = longest = 0
    waiting = list(values)
    while waiting:
        each = waiting.pop()
        count += 1
        if isinstance(each, dict):
            widest = max(widest, len(each))
            longest = max(longest, max(map(len, each), default=0))
            waiting.extend(each.values())
        elif isinstance(each, list):
            widest = max(widest, len(each))
            waiting.extend(each)
        elif isinstance(each, (str, bytes)):
            longest = max(longest, len(each))
    return Measure(count, widest, longest)


class Cost:
    """What an expression may cost, read from its text; ``native`` are the functions that are no Python."""

    def __init__(self, source: str, native: frozenset[str]) -> None:
        texts = _TEXT.findall(source)
        bare = _TEXT.sub(" '' ", source)
        self._commas = source.count(",")
        self._longest = max((len(text) for text in texts), default=0)
        self._states = max((patterns.states(text) for text in texts), default=1)
        self.has_pattern_from_data = len(_MATCHES.findall(bare)) > len(_MATCHES_TEXT.findall(bare))
        tokens = _TOKEN.findall(bare)
        self._sums = tokens.count("+")
        called = [name for name, after in itertools.pairwise(tokens) if after == "(" and name[0].isalpha()]
        self._names = frozenset(called)
        self._maps = called.count("map")
        self._searches = called.count("matches")
        self._calls = sum(1 for name in called if name not in native | _MACROS)
        self._root = _loops(tokens)

    def work_ns(self, size: Measure) -> int:
        """An upper bound of the work on values of this size."""
        items = max(size.widest, self._commas + 1)
        longest = max(size.longest, self._longest)
        if self._names & _SPLITTING:
            items = max(items, longest)
        if "range" in self._names:
            items = max(items, MAX_MADE)
        rounds: int = items**self._root.depth
        work_ns = self._root.once_ns(items) + size.values * _CONVERT_NS
        work_ns += self._searches * rounds * self._states * longest * _STATE_NS
        work_ns += self._calls * rounds * (_CALL_NS + (size.values * _CONVERT_NS if self._root.depth else 0))
        if self._grown_bytes(items, longest) > _MAX_GROWN_BYTES:
            return max(work_ns, MAX_OBJECT_NS + 1)
        return work_ns

    def _grown_bytes(self, items: int, longest: int) -> int:
        """At most how much is made by sums: each ``map`` may build on what the one before it made."""
        if not self._sums:
            return 0
        factor = (self._sums + 1) ** min(max(1, self._maps), 64)
        rounds = items**self._root.depth if self._maps else 1
        return int(factor * rounds * (longest + 8 * items))


def _loops(tokens: list[str]) -> _Loop:
    """The macros of an expression as a tree."""
    root = _Loop()
    open_loops = [root]
    is_macro: list[bool] = []  # of each open parenthesis
    before = ""
    for token in tokens:
        here = open_loops[-1]
        here.steps += 1
        if token == "(":
            is_macro.append(before in _MACROS)
            if is_macro[-1]:
                here.inner.append(_Loop(before in _COLLECTING))
                open_loops.append(here.inner[-1])
        elif token == ")" and is_macro and is_macro.pop():
            open_loops.pop()
        before = token
    return root
