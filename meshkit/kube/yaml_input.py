"""Read YAML that others wrote, with bounds on what its aliases, nesting and numbers expand to.

Scalars have the types of JSON, as in kubectl: a date or a number in base 60 is a text, and so is every key.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshkit.errors import BadInput

MAX_DEPTH = 100
MAX_DIGITS = 40
MAX_ALIASED_VALUES = 100_000
"""How many values the aliases of one document may add to it."""

_TAG = "tag:yaml.org,2002:"
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(yaml.MarkedYAMLError):
    """YAML that is well formed and that meshkit does not read."""


class _Loader(_Base):  # type: ignore[misc]
    """Construct only what JSON has."""


@dataclass(frozen=True)
class Document:
    """One YAML document: its value, and the node that holds the lines of its fields."""

    node: yaml.Node
    value: Any


def text_of(file: str | Path) -> str:
    """Read the text of a file. Raises ``BadInput``, which names the file."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadInput(str(file), "there is no such file.", remedy="Correct the path.") from error
    except (OSError, ValueError) as error:
        problem = f"it cannot be read: {error}."
        raise BadInput(str(file), problem, remedy="Give a readable YAML file.") from error


def load(text: str) -> Any:
    """The value of the only document of a text, or None. Raises ``yaml.YAMLError``, and nothing else."""
    found = only_document(text)
    return found.value if found else None


def only_document(text: str) -> Document | None:
    """The only document of a text, or None. Raises ``yaml.YAMLError``, and nothing else."""
    found = list(documents(text))
    if len(found) > 1:
        raise _refused(found[1].node, "a second document begins here, and one is expected")
    return found[0] if found else None


def documents(text: str) -> Iterator[Document]:
    """The documents of a text that are not empty. Raises ``yaml.YAMLError``, and nothing else."""
    if _HALF_CHARACTER.search(text):
        raise Refused(None, None, "it holds half of a surrogate pair, which is no character")
    try:
        _refuse_deep(text)
    except Refused:
        raise
    except yaml.MarkedYAMLError:
        deque(yaml.parse(text, Loader=yaml.SafeLoader), maxlen=0)  # names a line nearer to the fault
        raise
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not _is_empty(node):
                _Checker().check(node)
                yield Document(node, loader.construct_document(node))
    finally:
        loader.dispose()


def problem_in(error: yaml.YAMLError) -> tuple[str, str]:
    """Where an error is in its text (``line 3``, or empty if that is unknown), and what is wrong there."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "", str(error).splitlines()[0]
    mark = error.problem_mark or error.context_mark
    return (f"line {mark.line + 1}" if mark else ""), str(error.problem)


def node_at(node: yaml.Node, location: Sequence[int | str]) -> yaml.Node:
    """The node of the last key or item of a location that exists below a node."""
    mark = node
    for step in location:
        found = _entry(node, step)
        if found is None:
            break
        mark, node = found
    return mark


def _entry(node: yaml.Node, step: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    """The key (or item) and value at one step below a node."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "" and node.tag == f"{_TAG}null"


def _refuse_deep(text: str) -> None:
    """Count the open collections before PyYAML recurses into them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark: Any = event.start_mark
                raise Refused(None, None, f"it is nested more than {MAX_DEPTH} deep", mark)


class _Checker:
    """Check the graph of a document's nodes, where an alias is a second way to the same node."""

    def __init__(self) -> None:
        self._measured: dict[int, tuple[int, int]] = {}
        """Size and depth of a collection with its aliases expanded, by the node's id."""
        self._open: set[int] = set()
        self._aliased = 0

    def check(self, node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in self._measured:
            size, depth = self._measured[id(node)]
            self._aliased += size
            if self._aliased > MAX_ALIASED_VALUES:
                raise _refused(node, f"its aliases expand to more than {MAX_ALIASED_VALUES} values")
            return size, depth
        if id(node) in self._open:
            raise _refused(node, "the value of an anchor contains itself")
        self._open.add(id(node))
        size, depth = 1, 0
        for child in _children(node):
            below = self.check(child)
            size, depth = size + below[0], max(depth, below[1])
        self._open.discard(id(node))
        if depth >= MAX_DEPTH:
            raise _refused(node, f"its aliases nest it more than {MAX_DEPTH} deep")
        self._measured[id(node)] = size, depth + 1
        return self._measured[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
        return
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _refused(key, "a key is a text, not a list or a mapping")
        if key.tag != f"{_TAG}merge":
            key.tag = f"{_TAG}str"
        yield value


def _refused(node: yaml.Node, problem: str) -> Refused:
    return Refused(None, None, problem, node.start_mark)


def _text(loader: Any, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _integer(loader: Any, node: yaml.ScalarNode) -> Any:
    written = _text(loader, node)
    if ":" in written:
        return written
    if len(written) > MAX_DIGITS:
        raise _refused(node, f"the number has more than {MAX_DIGITS} digits")
    return _Base.construct_yaml_int(loader, node)


def _float(loader: Any, node: yaml.ScalarNode) -> Any:
    written = _text(loader, node)
    if ":" in written:
        return written
    number = _Base.construct_yaml_float(loader, node)
    if not math.isfinite(number):
        raise _refused(node, f"{written[:MAX_DIGITS]} is no number of JSON")
    return number


def _fitting(construct: Callable[[Any, yaml.ScalarNode], Any]) -> Callable[[Any, yaml.ScalarNode], Any]:
    """A constructor that names the place of a value that does not fit its tag."""

    def constructor(loader: Any, node: yaml.ScalarNode) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, LookupError) as error:
            raise _refused(node, f"a value does not fit its tag: {error}") from error

    return constructor


for _name, _constructor in {"int": _integer, "float": _float, "bool": _Base.construct_yaml_bool}.items():
    _Loader.add_constructor(f"{_TAG}{_name}", _fitting(_constructor))
for _name in ("timestamp", "binary", "value"):
    _Loader.add_constructor(f"{_TAG}{_name}", _text)
for _name in ("set", "omap", "pairs"):
    _Loader.add_constructor(f"{_TAG}{_name}", _Base.construct_undefined)
