"""Estimate the cost of a CEL expression before it runs, because evaluation cannot be interrupted.

kube-apiserver counts the cost of a running expression and stops it at a limit. The CEL package used here
cannot, so the cost is estimated from the source (nesting of macros, operations that grow values) and from the
size of the input. Estimates are upper bounds; the rules of published definitions stay far below the limit.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from meshkit.meshes.model import patterns

MAX_SOURCE_CHARACTERS = 10_000  # a longer source may overflow the parser's stack
MAX_MADE = 100_000  # items or characters that a function may produce
MAX_EXPRESSION_NS = 300_000_000
MAX_OBJECT_NS = 4_000_000_000  # of all the rules of one object
_MAX_GROWN_BYTES = 50_000_000
_STEP_NS, _COPY_ITEM_NS, _STATE_NS, _CALL_NS, _CONVERT_NS = 100, 20, 5, 3_000, 100

# String literals (raw, in triple or single quotes) and comments; an unterminated one ends with the source.
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
    """Represent a macro, or the whole expression as the root.

    ``steps`` excludes the steps of nested macros.
    """

    collects: bool = False
    steps: int = 0
    inner: list[_Loop] = field(default_factory=list)

    def once_ns(self, items: int) -> int:
        """Return the cost of evaluating the body once."""
        return self.steps * _STEP_NS + sum(loop.whole_ns(items) for loop in self.inner)

    def whole_ns(self, items: int) -> int:
        """Return the cost of the loop; ``map`` and ``filter`` copy their result at each item."""
        return items * self.once_ns(items) + (items * items * _COPY_ITEM_NS if self.collects else 0)

    @property
    def depth(self) -> int:
        """Return the nesting depth of loops below this one."""
        return max((1 + loop.depth for loop in self.inner), default=0)


@dataclass(frozen=True)
class Measure:
    """Hold the size of a value.

    These are its number of nested values, the items of its widest collection and its longest text.
    """

    values: int
    widest: int
    longest: int


def measured(*values: Any) -> Measure:
    """Return the combined size of several values."""
    count = widest = longest = 0
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            widest = max(widest, len(value))
            longest = max(longest, max(map(len, value), default=0))
            waiting.extend(value.values())
        elif isinstance(value, list):
            widest = max(widest, len(value))
            waiting.extend(value)
        elif isinstance(value, (str, bytes)):
            longest = max(longest, len(value))
    return Measure(count, widest, longest)


class Cost:
    """Estimate the cost of an expression from its source.

    ``native`` names the functions that are not implemented in Python.
    """

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
        """Return an upper bound of the cost for values of this size, in nanoseconds."""
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
        """Return an upper bound of the data that concatenation produces.

        Each ``map`` may use the result of the previous one.
        """
        if not self._sums:
            return 0
        factor = (self._sums + 1) ** min(max(1, self._maps), 64)
        rounds = items**self._root.depth if self._maps else 1
        return int(factor * rounds * (longest + 8 * items))


def _loops(tokens: list[str]) -> _Loop:
    """Return the macros of an expression as a tree."""
    root = _Loop()
    open_loops = [root]
    is_macro: list[bool] = []  # of each open parenthesis
    before = ""
    for token in tokens:
        current = open_loops[-1]
        current.steps += 1
        if token == "(":
            is_macro.append(before in _MACROS)
            if is_macro[-1]:
                current.inner.append(_Loop(before in _COLLECTING))
                open_loops.append(current.inner[-1])
        elif token == ")" and is_macro and is_macro.pop():
            open_loops.pop()
        before = token
    return root
