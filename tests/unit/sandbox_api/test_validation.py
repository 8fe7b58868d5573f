"""The walk over an object beside its schema."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.sandbox.api.schema import validation

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def problems(schema: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in validation.find_causes(schema, value, "spec")]


@pytest.mark.parametrize(
    ("schema", "good", "bad", "words"),
    [
        (INTEGER, 1, True, "must be of type integer"),
        (INTEGER, 1, 1.5, "must be of type integer"),
        ({"type": "number"}, 1.5, "x", "must be of type number"),
        (STRING, "x", 1, "must be of type string"),
        ({"type": "string", "enum": ["a"]}, "a", "b", 'supported values: "a"'),
        ({"type": "string", "pattern": "^a+$"}, "aa", "b", "should match '^a+$'"),
        ({"type": "string", "maxLength": 2}, "ab", "abc", "more than 2 chars long"),
        ({"type": "string", "minLength": 1}, "a", "", "at least 1 chars long"),
        ({"type": "array", "maxItems": 1}, [1], [1, 2], "more than 1 items"),
        ({"type": "integer", "minimum": 1, "maximum": 3}, 3, 4, "less than or equal to 3"),
        ({"x-kubernetes-int-or-string": True}, "25%", [], "integer,string"),
        ({"type": "object", "required": ["a"]}, {"a": 1}, {}, "Required value"),
        ({"anyOf": [STRING, INTEGER]}, 1, [], "at least one schema (anyOf)"),
        (
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": 1},
            {"a": 1, "b": 1},
            "one and only one",
        ),
        ({"not": {"required": ["a"]}}, {"b": 1}, {"a": 1}, "must not validate"),
        (
            {"type": "object", "additionalProperties": INTEGER},
            {"x": 1},
            {"x": "y"},
            "must be of type integer",
        ),
        ({"type": "string"}, "x", None, 'type string: "null"'),
    ],
)
def test_a_value_that_does_not_fit_is_named(schema: dict[str, Any], good: Any, bad: Any, words: str) -> None:
    assert problems(schema, good) == []
    ((field, message),) = problems(schema, bad)
    assert field.startswith("spec")
    assert words in message


def test_nullable_takes_null() -> None:
    assert problems({"type": "string", "nullable": True}, None) == []


def test_pruning_names_what_it_removes_and_spares_free_parts() -> None:
    schema = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"known": STRING}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "map": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"known": STRING}},
            },
        },
    }
    value = {
        "list": [{"known": "a", "odd": 1}],
        "free": {"odd": {"odd": 1}},
        "map": {"any": {"odd": 1}},
        "odd": 1,
    }
    assert sorted(validation.prune(schema, value)) == ["list[0].odd", "map.any.odd", "odd"]
    assert value == {"list": [{"known": "a"}], "free": {"odd": {"odd": 1}}, "map": {"any": {}}}


def test_defaults_reach_into_defaults_and_lists() -> None:
    inner = {"type": "object", "properties": {"port": {"type": "integer", "default": 80}}}
    schema = {
        "type": "object",
        "properties": {"one": {**inner, "default": {}}, "many": {"type": "array", "items": inner}},
    }
    value: dict[str, Any] = {"many": [{}, {"port": 1}]}
    validation.fill_defaults(schema, value)
    assert value == {"one": {"port": 80}, "many": [{"port": 80}, {"port": 1}]}


def test_repeated_items_are_found_without_comparing_each_with_each() -> None:
    compared = 0

    class Mark(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    schema = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    marks = [Mark(number) for number in range(1_000)]
    assert [cause.field for cause in validation.repeated(schema, [*marks, "7"], "marks")] == ["marks[1000]"]
    assert compared < 10_000
