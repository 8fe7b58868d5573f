"""Parse the sample lines of Prometheus' text format: name, labels and value."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from meshkit.meshes.metrics import Sample

_LINE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


def samples(text: str, names: Collection[str] | re.Pattern[str]) -> Iterator[Sample]:
    """The samples of the named metrics. Other lines, comments and invalid lines are skipped."""
    is_named = names.fullmatch if isinstance(names, re.Pattern) else names.__contains__
    for line in text.splitlines():
        found = _LINE.match(line)
        if not found or not is_named(found["name"]):
            continue
        try:
            value = float(found["value"])
        except ValueError:
            continue
        labels = {name: _unescape(raw) for name, raw in _LABEL.findall(found["labels"] or "")}
        yield Sample(found["name"], labels, value)


def _unescape(raw: str) -> str:
    return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], raw) if "\\" in raw else raw
