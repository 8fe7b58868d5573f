"""Decode YAML bodies, counting the values that aliases add before they are expanded.

Scalars are resolved as kube-apiserver's YAML library (go.yaml.in/yaml/v2) resolves them: YAML 1.1
booleans, no base 60, dates as strings, and keys converted to strings because JSON has no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from meshkit.sandbox.api import status
from meshkit.sandbox.api.schema import bodies

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = (f"{_TAG}str", f"{_TAG}binary", f"{_TAG}timestamp", "!")
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "map", "seq")}
_TRUE = ("y", "yes", "true", "on")
_FALSE = ("n", "no", "false", "off")
_CONSTANTS: dict[str, Any] = {
    written: value
    for words, value in ((_TRUE, True), (_FALSE, False), (("null",), None))
    for word in words
    for written in (word, word.title(), word.upper())
} | {"": None, "~": None}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_BASE = re.compile(r"([-+]?)0([xX][0-9a-fA-F]{1,16}|[bB][01]{1,64}|[oO]?[0-7]{1,22})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass
class _Node:
    """Represent a collection under construction.

    ``size`` and ``depth`` measure its content with aliases expanded.
    """

    value: Any
    anchor: str | None
    size: int = 1
    depth: int = 1
    key: str | None = None
    merging: bool = False
    merged: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Anchored:
    value: Any
    size: int
    depth: int


def read(raw: bytes, duplicates: list[str] | None = None) -> Any:
    """Return the value of the single document in a body. Raises ApiError.

    ``duplicates`` receives a sentence about each key that a map has more than once.
    """
    try:
        return _Builder([] if duplicates is None else duplicates).build(yaml.parse(raw, Loader=_LOADER))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _refuse(" ".join(str(error).split()), error)


def _refuse(why: str, cause: Exception | None = None) -> NoReturn:
    raise status.bad_request(f"error decoding YAML: {why}") from cause


class _Builder:
    def __init__(self, duplicates: list[str]) -> None:
        self._duplicates = duplicates
        self._line = 0
        self._open: list[_Node] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None while the value is being built
        self._size = 0
        self._documents = 0
        self._root: Any = None

    def build(self, events: Iterator[Any]) -> Any:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor))
            elif isinstance(event, yaml.CollectionStartEvent):
                self._start(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                node = self._open.pop()
                if node.merged:
                    node.value = node.merged | node.value
                self._add(node.value, node.size, node.depth, node.anchor)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    _refuse("expected a single document in the body")
        return self._root

    def _start(self, event: Any) -> None:
        if event.tag and event.tag not in _PLAIN_TAGS and event.tag != "!":
            _refuse(f"a collection cannot have the tag {event.tag}")
        if len(self._open) >= bodies.MAX_DEPTH:
            raise bodies.too_deep()
        if event.anchor:
            self._anchors[event.anchor] = None
        self._count(1)
        self._open.append(_Node([] if isinstance(event, yaml.SequenceStartEvent) else {}, event.anchor))

    def _count(self, values: int) -> None:
        self._size += values
        if self._size > bodies.MAX_VALUES:
            raise bodies.too_many_values()

    def _alias(self, name: str) -> None:
        if name not in self._anchors:
            _refuse(f"unknown anchor '{name}' referenced")
        anchored = self._anchors[name]
        if anchored is None:
            _refuse(f"anchor '{name}' value contains itself")
        if self._size + anchored.size > bodies.MAX_VALUES:
            _refuse("document contains excessive aliasing")
        if len(self._open) + anchored.depth > bodies.MAX_DEPTH:
            raise bodies.too_deep()
        self._count(anchored.size)
        self._add(_copy(anchored.value), anchored.size, anchored.depth, None)

    def _scalar(self, event: Any) -> None:
        self._count(1)
        current = self._open[-1] if self._open else None
        if (
            current is not None
            and isinstance(current.value, dict)
            and current.key is None
            and event.value == "<<"
            and event.implicit[0]
        ):
            current.merging, current.key = True, "<<"
            return
        self._line = event.start_mark.line + 1
        self._add(_resolved(event), 1, 0, event.anchor)

    def _add(self, value: Any, size: int, depth: int, anchor: str | None) -> None:
        """Add a value to the open collection, as an item, a key or the value of a key, or as the document."""
        if anchor:
            self._anchors[anchor] = _Anchored(value, size, depth)
        if not self._open:
            self._root = value
            return
        current = self._open[-1]
        current.size += size
        current.depth = max(current.depth, depth + 1)
        if isinstance(current.value, list):
            current.value.append(value)
        elif current.key is None:
            current.key = _key(value)
            if current.key in current.value:
                self._duplicates.append(f'line {self._line}: key "{current.key}" already set in map')
        elif current.merging:
            _merge(current.merged, value)
            current.merging, current.key = False, None
        else:
            current.value[current.key] = value
            current.key = None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    kind = "null" if value is None else "a list" if isinstance(value, list) else "a mapping"
    _refuse(f"invalid map key: {kind}")


def _merge(merged: dict[str, Any], value: Any) -> None:
    """Merge the mappings of a ``<<`` key; the first definition of a key wins."""
    for mapping in value if isinstance(value, list) else [value]:
        if not isinstance(mapping, dict):
            _refuse("map merge requires map or sequence of maps as the value")
        for key, member in mapping.items():
            merged.setdefault(key, member)


def _resolved(event: Any) -> Any:
    tag, text = event.tag, event.value
    if tag in _TEXT_TAGS or (tag is None and not event.implicit[0]):
        return text
    if tag is not None and tag not in _PLAIN_TAGS:
        _refuse(f"a scalar cannot have the tag {tag}")
    value = _plain(text)
    if tag is not None and not _fits(tag.removeprefix(_TAG), value):
        _refuse(f"cannot decode {text[:40]!r} as {tag.removeprefix(_TAG)}")
    return float(value) if tag == f"{_TAG}float" else value


def _fits(name: str, value: Any) -> bool:
    if name == "null":
        return value is None
    if name == "bool":
        return isinstance(value, bool)
    kinds = (int, float) if name == "float" else (int,)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _plain(text: str) -> Any:
    """Return the value of an unquoted scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NO_JSON.fullmatch(text):
        _refuse(f"json: unsupported value: {text}")
    written = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(written):
        return _number(written, text)
    other = _OTHER_BASE.fullmatch(written)
    if other:
        value = _in_base(other[2].lower())
        return -value if other[1] == "-" else value
    return _number(written, text) if _FLOAT.fullmatch(written) else text


def _number(written: str, text: str) -> Any:
    """Return a number, or the text when no number can represent it."""
    if len(written) < 19 and "." not in written and "e" not in written.lower():
        return int(written)
    if _INTEGER.fullmatch(written) and len(written) < 21 and abs(int(written)) < 1 << 64:
        return int(written)
    value = float(written)
    return text if value in (float("inf"), float("-inf")) else value


def _in_base(digits: str) -> int:
    if digits[0] in "xb":
        return int(digits[1:], 16 if digits[0] == "x" else 2)
    return int(digits.removeprefix("o"), 8)
