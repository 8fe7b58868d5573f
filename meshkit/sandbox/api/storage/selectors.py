"""Label and field selectors in the query syntax."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from meshkit.sandbox.api import status

Object = Mapping[str, Any]
Matcher = Callable[[Object], bool]

_MAX_REQUIREMENTS = 1_000  # every requirement is evaluated for every object
_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<key0>[^\s,=!()]+)"
    r"|(?P<key1>[^\s,=!()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\)"
    r"|(?P<key2>[^\s,=!()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s,()]*)"
    r"|(?P<key3>[^\s,=!()]+))\s*(?:,|$)"
)


def everything(_: Object) -> bool:
    """Match every object."""
    return True


def labels(text: str) -> Matcher:
    """Parse a label selector such as ``app=web,version in (v1,v2),!canary``. Raises ApiError 400."""
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    position = 0
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None:
            raise status.bad_request(f"unable to parse requirement: {text!r}")
        if len(tests) == _MAX_REQUIREMENTS:
            raise status.bad_request(f"a selector has at most {_MAX_REQUIREMENTS} requirements")
        tests.append(_label_test(term))
        position = term.end()
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def _label_test(term: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    if term["absent"]:
        key = term["key0"]
        return lambda labels: key not in labels
    if term["set"]:
        key, values = term["key1"], {item.strip() for item in term["values"].split(",")}
        if term["set"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if term["op"]:
        key, value = term["key2"], term["value"]
        if term["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    key = term["key3"]
    return lambda labels: key in labels


def fields(text: str) -> Matcher:
    """Parse a field selector such as ``metadata.name=x,status.phase!=Running``.

    Any path of plain fields is supported. Raises ApiError 400.
    """
    tests: list[Matcher] = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([\w.\-/]+)\s*(==|=|!=)\s*(.*)", term)
        if match is None:
            raise status.bad_request(f"invalid selector: {term!r}; can't understand {term!r}")
        tests.append(_field_test(match[1].split("."), match[2] == "!=", match[3]))
    return lambda obj: all(test(obj) for test in tests)


def _field_test(path: list[str], unequal: bool, value: str) -> Matcher:
    def test(obj: Object) -> bool:
        node: Any = obj
        for name in path:
            node = node.get(name) if isinstance(node, Mapping) else None
        return (_text(node) != value) if unequal else (_text(node) == value)

    return test


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def query(label_selector: str | None, field_selector: str | None) -> Matcher:
    """Return the matcher of a request's label and field selectors."""
    if not label_selector and not field_selector:
        return everything
    by_label = labels(label_selector) if label_selector else everything
    by_field = fields(field_selector) if field_selector else everything
    return lambda obj: by_label(obj) and by_field(obj)
