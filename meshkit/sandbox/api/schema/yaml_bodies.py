"""Build a value from the events of a YAML parser, counting what aliases add before they are expanded.

Scalars are resolved as kube-apiserver's YAML library (go.yaml.in/yaml/v2) resolves them: booleans of YAML
1.1, no base 60, dates stay text, and keys become text because JSON knows no other.
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
    """A collection that is being built; ``size`` and ``depth`` count what it holds, aliases expanded."""

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


def read(raw: bytes) -> Any:
    """The value of the one document in a body. Raises ApiError."""
    try:
        return _Builder().build(yaml.parse(raw, Loader=_LOADER))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _refuse(" ".join(str(error).split()), error)


def _refuse(why: str, cause: Exception | None = None) -> NoReturn:
    raise status.bad_request(f"error decoding YAML: {why}") from cause


class _Builder:
    def __init__(self) -> None:
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
        found = self._anchors[name]
        if found is None:
            _refuse(f"anchor '{name}' value contains itself")
        if self._size + found.size > bodies.MAX_VALUES:
            _refuse("document contains excessive aliasing")
        if len(self._open) + found.depth > bodies.MAX_DEPTH:
            raise bodies.too_deep()
        self._count(found.size)
        self._add(_copy(found.value), found.size, found.depth, None)

    def _scalar(self, event: Any) -> None:
        self._count(1)
        here = self._open[-1] if self._open else None
        if (
            here is not None
            and isinstance(here.value, dict)
            and here.key is None
            and event.value == "<<"
            and event.implicit[0]
        ):
            here.merging, here.key = True, "<<"
            return
        self._add(_resolved(event), 1, 0, event.anchor)

    def _add(self, value: Any, size: int, depth: int, anchor: str | None) -> None:
        """Put a value where it belongs: an item, a key, the value of a key, or the document."""
        if anchor:
            self._anchors[anchor] = _Anchored(value, size, depth)
        if not self._open:
            self._root = value
            return
        here = self._open[-1]
        here.size += size
        here.depth = max(here.depth, depth + 1)
        if isinstance(here.value, list):
            here.value.append(value)
        elif here.key is None:
            here.key = _key(value)
        elif here.merging:
            _merge(here.merged, value)
            here.merging, here.key = False, None
        else:
            here.value[here.key] = value
            here.key = None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copy(each) for each in value]
    return value


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    shown = "null" if value is None else "a list" if isinstance(value, list) else "a mapping"
    _refuse(f"invalid map key: {shown}")


def _merge(merged: dict[str, Any], value: Any) -> None:
    """Collect what ``<<`` names; what is named first wins."""
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            _refuse("map merge requires map or sequence of maps as the value")
        for key, member in each.items():
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
    """The value of a scalar without quotes."""
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
    """A number; text that no number holds stays text."""
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
