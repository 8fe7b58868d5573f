"""Sets of field paths, the basis of field ownership.

A path is a tuple of elements in the ``FieldsV1`` format: ``f:NAME`` for a field, ``k:{"name":"c"}`` for the
item of a keyed list, ``v:VALUE`` for the item of a set. The schema defines which values are atomic and which
are merged field by field (``schema.shape``).
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
    """Raised for an item of a keyed list without a key or with a duplicate key."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{text(path)}: {problem}")


class SameKey(list[Any]):
    """Items of a keyed list or set that share one key.

    A configuration must not contain them, but a created or updated object may. They are merged and owned as
    one value.
    """


class Child(NamedTuple):
    """Represent one child of a value.

    ``declared`` is true when the schema declares the field by name.
    """

    element: str
    value: Any
    schema: Schema | None
    declared: bool


def children(schema: Schema | None, value: Any, path: Path = (), *, unique: bool = False) -> Iterator[Child]:
    """Yield the children that are merged separately; a leaf has none.

    Raises BadListItem for an item without a key and, with ``unique``, for duplicate keys.
    """
    shape = schemas.shape(schema, value)
    if shape == "object":
        for name, item in value.items():
            yield Child(f"f:{name}", item, schemas.member(schema, name), schemas.declares(schema, name))
    elif shape != "leaf":
        below = schemas.items(schema)
        keys = schemas.list_keys(schema)
        by_element: dict[str, SameKey] = {}
        for index, item in enumerate(value):
            element = "v:" + _compact(item) if shape == "set" else _key(index, item, keys, below, path)
            if unique and element in by_element:
                raise BadListItem(path, f"duplicate entries for key {text((element,))}")
            by_element.setdefault(element, SameKey()).append(item)
        for element, same in by_element.items():
            yield Child(element, same, None, False) if same[1:] else Child(element, same[0], below, False)


def _key(index: int, item: Any, keys: list[str], below: Schema | None, path: Path) -> str:
    """Return the path element of a keyed list item, using the defaults of missing key fields."""
    key_fields: dict[str, Any] = {}
    for key in keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = (schemas.member(below, key) or {}).get("default")
        if value is not None:
            key_fields[key] = value
    if not key_fields:
        names = " ".join(f'"{key}"' for key in keys)
        raise BadListItem(
            path,
            f"element {index}: associative list with keys has an element that omits all key fields [{names}] "
            "(and doesn't have default values for any key fields)",
        )
    return "k:" + _compact(key_fields)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def every(schema: Schema | None, value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every node below a value."""
    for child in children(schema, value, path):
        below = (*path, child.element)
        yield below
        yield from every(child.schema, child.value, below)


def applied(schema: Schema | None, config: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths that a configuration owns.

    These are leaves, list items, keys of open maps and declared fields that are empty.
    """
    for child in children(schema, config, path, unique=True):
        below = (*path, child.element)
        if schemas.is_leaf(child.schema, child.value) or not child.declared or child.value == {}:
            yield below
        yield from applied(child.schema, child.value, below)


@dataclass
class Difference:
    """Hold the paths that differ between two objects."""

    added: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)

    def without(self, ignored: Iterable[Path]) -> Difference:
        """Return the difference without the ignored paths."""
        drop = set(ignored)
        return Difference(self.added - drop, self.removed - drop, self.modified - drop)


def compare(schema: Schema | None, old: Any, new: Any) -> Difference:
    """Return the changed leaves and every node that only one of ``old`` and ``new`` contains."""
    difference = Difference()
    _compare(schema, old, new, (), difference)
    return difference


def _compare(schema: Schema | None, old: Any, new: Any, path: Path, difference: Difference) -> None:
    if schemas.is_leaf(schema, old) or schemas.is_leaf(schema, new) or type(old) is not type(new):
        if old != new:
            difference.modified.add(path)
        return
    before = {child.element: child for child in children(schema, old, path)}
    for child in children(schema, new, path):
        below = (*path, child.element)
        previous = before.get(child.element)
        if previous is None or isinstance(previous.value, SameKey) != isinstance(child.value, SameKey):
            difference.added.add(below)
            difference.added.update(every(child.schema, child.value, below))
            continue
        del before[child.element]
        if previous.value is not child.value:
            _compare(child.schema, previous.value, child.value, below, difference)
    for element, missing in before.items():
        below = (*path, element)
        difference.removed.add(below)
        difference.removed.update(every(missing.schema, missing.value, below))


def with_declared_ancestors(schema: Schema | None, paths: Iterable[Path]) -> set[Path]:
    """Return the paths and those of their ancestors that the schema declares by name."""
    result: set[Path] = set(paths)
    for path in list(result):
        node_schema = schema
        for depth, element in enumerate(path[:-1], start=1):
            if element.startswith("f:"):
                if schemas.declares(node_schema, element[2:]):
                    result.add(path[:depth])
                node_schema = schemas.member(node_schema, element[2:])
            else:
                node_schema = schemas.items(node_schema)
    return result


def remove(schema: Schema | None, value: Any, paths: set[Path], path: Path = ()) -> Any:
    """Return a copy of the value without the nodes at these paths."""
    if schemas.is_leaf(schema, value):
        return value
    remaining = {
        child.element: remove(child.schema, child.value, paths, (*path, child.element))
        for child in children(schema, value, path)
        if (*path, child.element) not in paths
    }
    if isinstance(value, dict):
        return {element[2:]: child_value for element, child_value in remaining.items()}
    return flat(remaining.values())


def flat(values: Iterable[Any]) -> list[Any]:
    """Return the items of a list from the values of its children."""
    items: list[Any] = []
    for value in values:
        if isinstance(value, SameKey):
            items += value
        else:
            items.append(value)
    return items


def null_emptied(schema: Schema | None, before: Any, after: Any) -> None:
    """Set maps and lists to null that an apply has emptied, in place.

    Kubernetes' merge does the same. A Go struct then omits the field; a schema that is not nullable rejects
    it.
    """
    if type(before) is not type(after):
        return
    previous = {child.element: child.value for child in children(schema, before)}
    for child in list(children(schema, after)):
        value, old = child.value, previous.get(child.element)
        if value in ([], {}) and old and isinstance(after, dict) and not schemas.is_leaf(child.schema, value):
            after[child.element[2:]] = None
        else:
            null_emptied(child.schema, old, value)


def encode(paths: Iterable[Path]) -> dict[str, Any]:
    """Encode paths in the ``fieldsV1`` format of nested objects.

    A path that is also an ancestor of other paths has the member ``"."``.
    """
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
    """Return the paths of a ``fieldsV1`` object."""
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
    """Format a path as Kubernetes does, such as ``.spec.containers[name="c"].image``."""
    parts = []
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            parts.append(f".{rest}")
        elif kind == "k:":
            pairs = (f"{key}={_compact(value)}" for key, value in sorted(json.loads(rest).items()))
            parts.append(f"[{','.join(pairs)}]")
        elif kind == "i:":
            parts.append(f"[{rest}]")
        else:
            parts.append(f"[={rest}]")
    return "".join(parts)
