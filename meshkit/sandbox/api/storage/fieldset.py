"""Sets of field paths: the arithmetic below field ownership.

A path is a tuple of elements as ``FieldsV1`` writes them: ``f:NAME`` for a field, ``k:{"name":"c"}`` for
the item of a keyed list, ``v:VALUE`` for the item of a set. What counts as one value and what is merged
field by field, the schema says (``schema.shape``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.types import Schema

Path = tuple[str, ...]
Paths = frozenset[Path]
NOTHING: Paths = frozenset()


class BadListItem(Exception):
    """An item of a keyed list that has no key, or the key of another item."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{text(path)}: {problem}")


class SameKey(list[Any]):
    """The items of a keyed list or set that have one key: a configuration may not have them, but an object
    that was created or updated may. They are merged and owned as one value.
    """


class Child(NamedTuple):
    """One step down: the path element, what is there, its schema, and whether the schema declares it by
    name.
    """

    element: str
    value: Any
    schema: Schema | None
    declared: bool


def children(schema: Schema | None, value: Any, path: Path = (), *, unique: bool = False) -> Iterator[Child]:
    """The parts that are merged on their own; none for a leaf. Raises BadListItem: for an item without a key,
    and with ``unique`` also for two items with one key.
    """
    shape = schemas.shape(schema, value)
    if shape == "object":
        for name, each in value.items():
            yield Child(f"f:{name}", each, schemas.member(schema, name), schemas.declares(schema, name))
    elif shape != "leaf":
        below = schemas.items(schema)
        keys = schemas.list_keys(schema)
        found: dict[str, SameKey] = {}
        for index, each in enumerate(value):
            element = "v:" + _compact(each) if shape == "set" else _key(index, each, keys, below, path)
            if unique and element in found:
                raise BadListItem(path, f"duplicate entries for key {text((element,))}")
            found.setdefault(element, SameKey()).append(each)
        for element, same in found.items():
            yield Child(element, same, None, False) if same[1:] else Child(element, same[0], below, False)


def _key(index: int, item: Any, keys: list[str], below: Schema | None, path: Path) -> str:
    """The element of a keyed list's item; the default of a key field counts as its value."""
    found: dict[str, Any] = {}
    for key in keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = (schemas.member(below, key) or {}).get("default")
        if value is not None:
            found[key] = value
    if not found:
        names = " ".join(f'"{key}"' for key in keys)
        raise BadListItem(
            path,
            f"element {index}: associative list with keys has an element that omits all key fields [{names}] "
            "(and doesn't have default values for any key fields)",
        )
    return "k:" + _compact(found)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def every(schema: Schema | None, value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every node below a value."""
    for child in children(schema, value, path):
        below = (*path, child.element)
        yield below
        yield from every(child.schema, child.value, below)


def applied(schema: Schema | None, config: Any, path: Path = ()) -> Iterator[Path]:
    """What a configuration claims: leaves, list items, keys of open maps, and declared fields that are
    empty.
    """
    for child in children(schema, config, path, unique=True):
        below = (*path, child.element)
        if schemas.is_leaf(child.schema, child.value) or not child.declared or child.value == {}:
            yield below
        yield from applied(child.schema, child.value, below)


@dataclass
class Difference:
    """What changed between two objects, as paths."""

    added: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)

    def without(self, ignored: Iterable[Path]) -> Difference:
        """The same without some paths."""
        drop = set(ignored)
        return Difference(self.added - drop, self.removed - drop, self.modified - drop)


def compare(schema: Schema | None, old: Any, new: Any) -> Difference:
    """What changed from ``old`` to ``new``: leaves, and every node that is on one side only."""
    difference = Difference()
    _compare(schema, old, new, (), difference)
    return difference


def _compare(schema: Schema | None, old: Any, new: Any, path: Path, found: Difference) -> None:
    if schemas.is_leaf(schema, old) or schemas.is_leaf(schema, new) or type(old) is not type(new):
        if old != new:
            found.modified.add(path)
        return
    before = {child.element: child for child in children(schema, old, path)}
    for child in children(schema, new, path):
        below = (*path, child.element)
        was = before.get(child.element)
        if was is None or isinstance(was.value, SameKey) != isinstance(child.value, SameKey):
            found.added.add(below)
            found.added.update(every(child.schema, child.value, below))
            continue
        del before[child.element]
        if was.value is not child.value:
            _compare(child.schema, was.value, child.value, below, found)
    for element, gone in before.items():
        below = (*path, element)
        found.removed.add(below)
        found.removed.update(every(gone.schema, gone.value, below))


def with_declared_ancestors(schema: Schema | None, paths: Iterable[Path]) -> set[Path]:
    """The set and those ancestors of its members that the schema declares by name."""
    found: set[Path] = set(paths)
    for path in list(found):
        here = schema
        for depth, element in enumerate(path[:-1], start=1):
            if element.startswith("f:"):
                if schemas.declares(here, element[2:]):
                    found.add(path[:depth])
                here = schemas.member(here, element[2:])
            else:
                here = schemas.items(here)
    return found


def remove(schema: Schema | None, value: Any, paths: set[Path], path: Path = ()) -> Any:
    """A copy of the value without the nodes at these paths."""
    if schemas.is_leaf(schema, value):
        return value
    kept = {
        child.element: remove(child.schema, child.value, paths, (*path, child.element))
        for child in children(schema, value, path)
        if (*path, child.element) not in paths
    }
    if isinstance(value, dict):
        return {element[2:]: each for element, each in kept.items()}
    return flat(kept.values())


def flat(values: Iterable[Any]) -> list[Any]:
    """The items of a list from the values of its children."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, SameKey):
            found += value
        else:
            found.append(value)
    return found


def null_emptied(schema: Schema | None, before: Any, after: Any) -> None:
    """Put null for the maps and lists of which a server-side apply took the last part, in place: so does
    Kubernetes' merge. A struct of Go then lacks the field; a schema that is not nullable refuses it.
    """
    if type(before) is not type(after):
        return
    was = {child.element: child.value for child in children(schema, before)}
    for child in list(children(schema, after)):
        value, old = child.value, was.get(child.element)
        if value in ([], {}) and old and isinstance(after, dict) and not schemas.is_leaf(child.schema, value):
            after[child.element[2:]] = None
        else:
            null_emptied(child.schema, old, value)


def encode(paths: Iterable[Path]) -> dict[str, Any]:
    """The ``fieldsV1`` form: nested objects; a member that has members below it says so with ``"."``."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    _plain_leaves(tree)
    return tree


def _plain_leaves(node: dict[str, Any]) -> None:
    for child in node.values():
        if len(child) == 1:
            child.pop(".", None)
        _plain_leaves(child)


def decode(fields: Mapping[str, Any]) -> Paths:
    """The set that a ``fieldsV1`` object stands for."""
    return frozenset(_decode(fields, ()))


def _decode(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for element, below in fields.items():
        if element == ".":
            yield path
        elif not below:
            yield (*path, _canonical(element))
        else:
            yield from _decode(below, (*path, _canonical(element)))


def _canonical(element: str) -> str:
    if element[:2] in ("k:", "v:"):
        return element[:2] + _compact(json.loads(element[2:]))
    return element


def text(path: Path) -> str:
    """As Kubernetes prints it: ``.spec.containers[name="c"].image``."""
    words = []
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            words.append(f".{rest}")
        elif kind == "k:":
            pairs = (f"{key}={_compact(value)}" for key, value in sorted(json.loads(rest).items()))
            words.append(f"[{','.join(pairs)}]")
        elif kind == "i:":
            words.append(f"[{rest}]")
        else:
            words.append(f"[={rest}]")
    return "".join(words)
