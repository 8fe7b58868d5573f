"""``x-kubernetes-validations``: the rules that a CustomResourceDefinition's schema carries, evaluated.

A schema is turned once into a tree that holds only the places with rules. Rules are evaluated after the
schema itself is satisfied. One that reads ``oldSelf`` is a transition rule: it is evaluated only on updates
and where the old value can be told (fields, and items of lists that have keys). One that does not is left
alone where an update changes nothing (ratcheting), as in Kubernetes
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
    """The rules of one object cost more than is spent on it: no further rule is evaluated."""


@dataclass
class Budget:
    """The work that the rules of one object may still take."""

    left_ns: int = MAX_OBJECT_NS

    def allows(self, expression: Expression, value: Any, old: Any) -> bool:
        """Whether an expression may be evaluated; its work is taken from the budget then."""
        work_ns = expression.work_ns(value, old)
        if work_ns > min(self.left_ns, MAX_EXPRESSION_NS):
            return False
        self.left_ns -= work_ns
        return True


@dataclass(frozen=True)
class Rule:
    """One rule, compiled."""

    expression: Expression
    written: Mapping[str, Any]
    message_expression: Expression | None = None

    @property
    def told(self) -> str:
        """What stands for the rule in a message about it."""
        return str(self.written.get("message") or self.expression.source).strip()

    def message(self, value: Any, old: Any, budget: Budget) -> str:
        """Why a value breaks the rule."""
        if self.message_expression is not None and budget.allows(self.message_expression, value, old):
            try:
                found = self.message_expression.evaluate(value, old)
            except Failed:
                found = None
            if isinstance(found, str) and found.strip():
                return found.strip()
        message = str(self.written.get("message") or "").strip()
        return message or f"failed rule: {self.told}"


@dataclass
class Place:
    """A place in a schema at or below which rules stand."""

    schema: Schema
    rules: list[Rule] = field(default_factory=list)
    fields: dict[str, Place] = field(default_factory=dict)
    items: Place | None = None
    values: Place | None = None


@dataclass(frozen=True)
class Rules:
    """All rules of one schema; ``unusable`` says in sentences which of them cannot be evaluated."""

    root: Place | None
    unusable: tuple[str, ...]


_known: WeakKeyDictionary[Resource, Rules] = WeakKeyDictionary()


def of_resource(resource: Resource) -> Rules:
    """The rules of a custom resource."""
    if resource not in _known:
        _known[resource] = of_schema(resource.schema)
    return _known[resource]


def of_schema(root: Schema) -> Rules:
    """The rules of a schema."""
    unusable: list[str] = []
    place = _place(root, "", unusable, [None] * _MAX_RULES)
    return Rules(place, tuple(dict.fromkeys(unusable)))


def is_compiled(resource: Resource) -> bool:
    """Whether the rules of a resource are known already: reading many of them takes long."""
    return not resource.custom or resource in _known


def causes(resource: Resource, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Every rule that the object breaks; ``old`` is what it replaces."""
    root = of_resource(resource).root if resource.custom else None
    if root is not None:
        before = _NOTHING if old is None else _visible(old)
        try:
            yield from _broken(root, _visible(new), before, "", Budget())
        except Exhausted as error:
            yield _cause("", "", "object", str(error))


def _visible(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Of metadata, rules see the name only."""
    metadata = obj["metadata"]
    return {**obj, "metadata": {key: metadata[key] for key in ("name", "generateName") if key in metadata}}


# --- the tree


def _place(node: Schema, path: str, unusable: list[str], left: list[None]) -> Place | None:
    """The tree of a schema. ``left`` has an entry for each rule that is still read."""
    place = Place(node)
    for written in node.get("x-kubernetes-validations") or ():
        if not left:
            unusable.append(f"the sandbox evaluates the first {_MAX_RULES} rules of a schema only")
            break
        left.pop()
        try:
            place.rules.append(_rule(written))
        except Uncompilable as error:
            rule = " ".join(str(written.get("rule", "")).split())[:_MAX_SHOWN]
            where = path or "the root"
            unusable.append(f"the rule {rule!r} of {where} is not evaluated by the sandbox: {error}")
    for name, below in (node.get("properties") or {}).items():
        found = _place(below, f"{path}.{name}" if path else name, unusable, left)
        if found is not None:
            place.fields[name] = found
    for word in ("items", "additionalProperties"):
        if isinstance(node.get(word), Mapping):
            found = _place(node[word], f"{path}[*]", unusable, left)
            if word == "items":
                place.items = found
            else:
                place.values = found
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
        for name, each in value.items():
            below = place.fields.get(name)
            where = f"{path}.{name}" if path else name
            if below is None and name not in (place.schema.get("properties") or {}):
                below, where = place.values, f"{path}[{name}]"
            if below is not None:
                before = old.get(name, _NOTHING) if isinstance(old, dict) else _NOTHING
                yield from _broken(below, each, before, where, budget)
    elif isinstance(value, list) and place.items is not None:
        earlier = _by_keys(place.schema, old)
        for index, each in enumerate(value):
            before = earlier.get(_keys_of(place.schema, each), _NOTHING) if earlier else _NOTHING
            yield from _broken(place.items, each, before, f"{path}[{index}]", budget)


def _by_keys(node: Schema, old: Any) -> dict[str, Any]:
    """The items of an old list by their keys; none where they have no keys."""
    if not schema.list_keys(node) or not isinstance(old, list):
        return {}
    return {_keys_of(node, each): each for each in reversed(old)}


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
                f"due to call cost exceeds limit for rule: {rule.told}"
            )
        try:
            if rule.expression.evaluate(seen, known) is True:
                continue
            message = rule.message(seen, known, budget)
        except Failed as error:
            message = f"{error} evaluating rule: {rule.told}"
            yield _cause("", path, kind, message)
            continue
        yield _cause(
            rule.written.get("reason") or "", path + rule.written.get("fieldPath", ""), kind, message
        )


def _cause(reason: str, path: str, kind: str, message: str) -> Cause:
    text = _REASONS.get(reason, 'Invalid value: "{kind}": {message}').format(kind=kind, message=message)
    return Cause(path.lstrip(".") or "<nil>", reason if reason in _REASONS else "FieldValueInvalid", text)


def _converted(node: Schema | None, value: Any) -> Any:
    """A value as an expression sees it: fields under names it can write, numbers and times by their type."""
    if node is None or value is None:
        return value
    if isinstance(value, dict):
        declared = node.get("properties") or {}
        return {
            _escaped(name) if name in declared else name: _converted(schema.member(node, name), each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_converted(schema.items(node), each) for each in value]
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
