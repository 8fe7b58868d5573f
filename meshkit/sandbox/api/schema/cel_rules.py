"""Evaluate the CEL validation rules of a CustomResourceDefinition's schema (``x-kubernetes-validations``).

A schema is compiled once into a tree of the nodes with rules. Rules are evaluated only when the object is
valid against the schema itself. A rule that reads ``oldSelf`` is a transition rule: it is evaluated on
updates only, and only for values that can be correlated with an old value (fields, and items of keyed lists).
Other rules are skipped for values that an update does not change (ratcheting), as in Kubernetes
(k8s.io/apiextensions-apiserver pkg/apiserver/schema/cel/validation.go).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from meshkit.sandbox.api.schema import expressions
from meshkit.sandbox.api.schema import types as schema
from meshkit.sandbox.api.schema.expression_cost import MAX_EXPRESSION_NS, MAX_OBJECT_NS
from meshkit.sandbox.api.schema.expressions import Expression, Failed, Uncompilable
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.schema.types import Schema
from meshkit.sandbox.api.status import Cause

_NOTHING = object()
_MAX_RULES = 1_000  # of one schema
_MAX_SHOWN = 200  # characters of a rule in a warning
# Field names that an expression cannot write (k8s.io/apiserver pkg/cel/escaping.go).
_RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
    "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_SYMBOLS = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_REASONS = {
    "FieldValueForbidden": "Forbidden: {message}",
    "FieldValueRequired": "Required value: {message}",
    "FieldValueDuplicate": 'Duplicate value: "{kind}": {message}',
}


class Exhausted(Exception):
    """Raised when the rules of one object exceed their cost budget, so that no further rule is evaluated."""


@dataclass
class Budget:
    """Track the remaining cost budget of one object's rules."""

    left_ns: int = MAX_OBJECT_NS

    def allows(self, expression: Expression, value: Any, old: Any) -> bool:
        """Return whether an expression may be evaluated, and charge its cost to the budget if so."""
        work_ns = expression.work_ns(value, old)
        if work_ns > min(self.left_ns, MAX_EXPRESSION_NS):
            return False
        self.left_ns -= work_ns
        return True


@dataclass(frozen=True)
class Rule:
    """Represent one compiled rule."""

    expression: Expression
    written: Mapping[str, Any]
    message_expression: Expression | None = None

    @property
    def label(self) -> str:
        """Return the text that identifies the rule in error messages."""
        return str(self.written.get("message") or self.expression.source).strip()

    def message(self, value: Any, old: Any, budget: Budget) -> str:
        """Return the error message for a value that violates the rule."""
        if self.message_expression is not None and budget.allows(self.message_expression, value, old):
            try:
                evaluated = self.message_expression.evaluate(value, old)
            except Failed:
                evaluated = None
            if isinstance(evaluated, str) and evaluated.strip():
                return evaluated.strip()
        message = str(self.written.get("message") or "").strip()
        return message or f"failed rule: {self.label}"


@dataclass
class Place:
    """Represent a schema node with rules at or below it."""

    schema: Schema
    rules: list[Rule] = field(default_factory=list)
    fields: dict[str, Place] = field(default_factory=dict)
    items: Place | None = None
    values: Place | None = None


@dataclass(frozen=True)
class Rules:
    """Hold all rules of one schema.

    ``unusable`` describes the rules that cannot be evaluated.
    """

    root: Place | None
    unusable: tuple[str, ...]


_known: WeakKeyDictionary[Resource, Rules] = WeakKeyDictionary()


def of_resource(resource: Resource) -> Rules:
    """Return the rules of a custom resource."""
    if resource not in _known:
        _known[resource] = of_schema(resource.schema)
    return _known[resource]


def of_schema(root: Schema) -> Rules:
    """Return the rules of a schema."""
    unusable: list[str] = []
    place = _place(root, "", unusable, [None] * _MAX_RULES)
    return Rules(place, tuple(dict.fromkeys(unusable)))


def is_compiled(resource: Resource) -> bool:
    """Return whether the rules of a resource are cached; compiling many rules is slow."""
    return not resource.custom or resource in _known


def causes(resource: Resource, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Yield a cause for every rule that the object violates; ``old`` is the object that it replaces."""
    root = of_resource(resource).root if resource.custom else None
    if root is not None:
        before = _NOTHING if old is None else _visible(old)
        try:
            yield from _broken(root, _visible(new), before, "", Budget())
        except Exhausted as error:
            yield _cause("", "", "object", str(error))


def _visible(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as rules see it, with only the name in its metadata."""
    metadata = obj["metadata"]
    return {**obj, "metadata": {key: metadata[key] for key in ("name", "generateName") if key in metadata}}


# --- the tree


def _place(node: Schema, path: str, unusable: list[str], allowance: list[None]) -> Place | None:
    """Build the tree of a schema.

    ``left`` has one entry for each rule that may still be compiled.
    """
    place = Place(node)
    for written in node.get("x-kubernetes-validations") or ():
        if not allowance:
            unusable.append(f"the sandbox evaluates only the first {_MAX_RULES} rules of a schema")
            break
        allowance.pop()
        try:
            place.rules.append(_rule(written))
        except Uncompilable as error:
            rule = " ".join(str(written.get("rule", "")).split())[:_MAX_SHOWN]
            where = path or "the root"
            unusable.append(f"the rule {rule!r} of {where} is not evaluated by the sandbox: {error}")
    for name, below in (node.get("properties") or {}).items():
        child = _place(below, f"{path}.{name}" if path else name, unusable, allowance)
        if child is not None:
            place.fields[name] = child
    for word in ("items", "additionalProperties"):
        if isinstance(node.get(word), Mapping):
            child = _place(node[word], f"{path}[*]", unusable, allowance)
            if word == "items":
                place.items = child
            else:
                place.values = child
    return place if place.rules or place.fields or place.items or place.values else None


def _rule(written: Mapping[str, Any]) -> Rule:
    message = written.get("messageExpression")
    return Rule(
        expressions.compiled(written.get("rule", "").strip()),
        written,
        expressions.compiled(message) if message else None,
    )


# --- evaluation


def _broken(place: Place, value: Any, old: Any, path: str, budget: Budget) -> Iterator[Cause]:
    if value is None:
        return
    if place.rules:
        yield from _broken_here(place, value, old, path, budget)
    if isinstance(value, dict):
        for name, child in value.items():
            below = place.fields.get(name)
            where = f"{path}.{name}" if path else name
            if below is None and name not in (place.schema.get("properties") or {}):
                below, where = place.values, f"{path}[{name}]"
            if below is not None:
                before = old.get(name, _NOTHING) if isinstance(old, dict) else _NOTHING
                yield from _broken(below, child, before, where, budget)
    elif isinstance(value, list) and place.items is not None:
        old_items = _by_keys(place.schema, old)
        for index, child in enumerate(value):
            before = old_items.get(_keys_of(place.schema, child), _NOTHING) if old_items else _NOTHING
            yield from _broken(place.items, child, before, f"{path}[{index}]", budget)


def _by_keys(node: Schema, old: Any) -> dict[str, Any]:
    """Return the items of an old list by their keys, or an empty dict for a list without keys."""
    if not schema.list_keys(node) or not isinstance(old, list):
        return {}
    return {_keys_of(node, item): item for item in reversed(old)}


def _keys_of(node: Schema, item: Any) -> str:
    keys = schema.list_keys(node)
    return json.dumps([item.get(key) for key in keys] if isinstance(item, dict) else None, sort_keys=True)


def _broken_here(place: Place, value: Any, old: Any, path: str, budget: Budget) -> Iterator[Cause]:
    kind = str(place.schema.get("type") or "object")
    seen = _converted(place.schema, value)
    before = None if old is _NOTHING else _converted(place.schema, old)
    for rule in place.rules:
        may_be_new = bool(rule.written.get("optionalOldSelf"))
        if rule.expression.uses_old:
            if old is _NOTHING and not may_be_new:
                continue
        elif old is not _NOTHING and old == value:
            continue
        known = expressions.optional(before) if may_be_new else before
        if not budget.allows(rule.expression, seen, before):
            raise Exhausted(
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run "
                f"due to call cost exceeds limit for rule: {rule.label}"
            )
        try:
            if rule.expression.evaluate(seen, known) is True:
                continue
            message = rule.message(seen, known, budget)
        except Failed as error:
            message = f"{error} evaluating rule: {rule.label}"
            yield _cause("", path, kind, message)
            continue
        yield _cause(
            rule.written.get("reason") or "", path + rule.written.get("fieldPath", ""), kind, message
        )


def _cause(reason: str, path: str, kind: str, message: str) -> Cause:
    text = _REASONS.get(reason, 'Invalid value: "{kind}": {message}').format(kind=kind, message=message)
    return Cause(path.lstrip(".") or "<nil>", reason if reason in _REASONS else "FieldValueInvalid", text)


def _converted(node: Schema | None, value: Any) -> Any:
    """Return a value as expressions see it, with escaped field names and typed numbers and times."""
    if node is None or value is None:
        return value
    if isinstance(value, dict):
        declared = node.get("properties") or {}
        return {
            _escaped(name) if name in declared else name: _converted(schema.member(node, name), item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_converted(schema.items(node), item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and node.get("type") == "number":
        return float(value)
    if isinstance(value, str):
        return _typed(node.get("format"), value)
    return value


def _typed(written_as: object, text: str) -> Any:
    try:
        if written_as == "date-time":
            return datetime.fromisoformat(text)
        if written_as == "byte":
            return base64.b64decode(text, validate=True)
        if written_as == "duration":
            return expressions.compiled("duration(self)").evaluate(text)
    except (ValueError, binascii.Error, Failed):
        return text
    return text


def _escaped(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for symbol, word in _SYMBOLS:
        name = name.replace(symbol, word)
    return name
