"""Request bodies are read within bounds, whatever they are made of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshkit.sandbox.api.http import negotiation
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.status import ApiError
from tests.unit.sandbox_api.protobuf_bytes import envelope, field, varint
from tests.unit.sandbox_api.yaml_bombs import (
    doubling,
)

YAML, PROTOBUF = "application/yaml", "application/vnd.kubernetes.protobuf"


def deep_schema(levels: int) -> bytes:
    raw = b""
    for _ in range(levels):
        raw = field(28, raw)  # not
    return raw


def definition(schema: bytes) -> bytes:
    version = field(1, "v1") + field(4, field(1, schema))
    return envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, field(7, version)))


@pytest.mark.parametrize(
    ("media_type", "raw", "code", "words"),
    [
        (YAML, doubling("[x]", "[*, *]"), 400, "excessive aliasing"),
        (YAML, doubling("{x: 1}", "{<<: [*, *]}"), 400, "excessive aliasing"),
        (YAML, doubling("{x: 1}", "{a: *, b: *}"), 400, "excessive aliasing"),
        (YAML, b"a: &a [*a]", 400, "anchor 'a' value contains itself"),
        (YAML, b"a: *nowhere", 400, "unknown anchor 'nowhere'"),
        (YAML, b"? [a, b]\n: 1", 400, "invalid map key: a list"),
        (YAML, b"? {a: b}\n: 1", 400, "invalid map key: a mapping"),
        (YAML, b"~: 1", 400, "invalid map key: null"),
        (YAML, b"<<: 1", 400, "map merge requires map"),
        (YAML, b"a: .inf", 400, "unsupported value"),
        (YAML, b"a: !!python/object/apply:os.getcwd []", 400, "cannot have the tag"),
        (YAML, b"a: !!int x", 400, "cannot decode"),
        (YAML, b"a: 1\n---\nb: 2", 400, "a single document"),
        (YAML, b"a: [", 400, "error decoding YAML"),
        (YAML, b"a: \xff", 400, "error decoding YAML"),
        (YAML, b"[" * 100_000, 400, "max depth"),
        (YAML, b"- " * 100_000, 400, "max depth"),
        (YAML, doubling("[x]", "[*]", 150), 400, "max depth"),
        (YAML, b"[" + b"a," * bodies.MAX_VALUES + b"]", 413, "limit is 50000 values"),
        ("", b"[" * 1_000_000, 400, "max depth"),
        ("", b'{"a":' * 101 + b"1" + b"}" * 101, 400, "max depth"),
        ("", b"[" + b"0," * bodies.MAX_VALUES + b"0]", 413, "limit is 50000 values"),
        ("", b"[1e999]", 400, "cannot unmarshal number 1e999 into Go value of type float64"),
        ("", b"[" + b"9" * 5_000 + b"]", 400, "cannot unmarshal number 9999"),
        ("", b"[NaN]", 400, "NaN is not JSON"),
        ("", b"[-Infinity]", 400, "-Infinity is not JSON"),
        ("", b'["\xff"]', 400, "is not JSON"),
        ("application/cbor", b"\x9f" * 100, 415, "unknown format"),
        (PROTOBUF, b"k8s\x00" + b"\xff" * 1_000_000, 400, "integer overflow"),
        (PROTOBUF, b"k8s\x00" + varint(1 << 3 | 2) + varint(1_000_000) + b"x", 400, "unexpected EOF"),
        (PROTOBUF, b"k8s\x00" + field(1, 5), 400, "cannot be read"),
        (PROTOBUF, definition(deep_schema(120)), 400, "max depth"),
        (PROTOBUF, definition(deep_schema(3_000)), 400, "max depth"),
        (PROTOBUF, envelope("v1", "Pod", field(2, field(2, b"") * bodies.MAX_VALUES)), 413, "50000 values"),
    ],
)
def test_a_body_beyond_a_bound_is_refused(media_type: str, raw: bytes, code: int, words: str) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        negotiation.body(media_type, raw)
    assert refused.value.code == code
    assert len(refused.value.message) < 1_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [x]\nb: [*a, *a]", {"a": ["x"], "b": [["x"], ["x"]]}),
        ("a: &a {x: 1, z: 1}\nb: {<<: *a, z: 2}", {"a": {"x": 1, "z": 1}, "b": {"x": 1, "z": 2}}),
        ("a: &a {x: 1}\nb: {<<: [*a, {x: 2, z: 3}]}", {"a": {"x": 1}, "b": {"x": 1, "z": 3}}),
        ("a: &a x\n*a : z", {"a": "x", "x": "z"}),
        ("1: a\ntrue: b\n1.5: c", {"1": "a", "true": "b", "1.5": "c"}),
        ("[1:59:59, 190:20:30.15]", ["1:59:59", "190:20:30.15"]),
        ("[2001-99-99, 2001-12-14, 2001-12-14t21:59:43.10-05:00]",
         ["2001-99-99", "2001-12-14", "2001-12-14t21:59:43.10-05:00"]),
        ("[0x1F, 0o17, 017, 0b11, 1_000, +5, -7]", [31, 15, 15, 3, 1000, 5, -7]),
        ("[1.5, 1e3, .5, 18446744073709551616]", [1.5, 1000.0, 0.5, 18446744073709551616.0]),
        (f"a: {'9' * 400}", {"a": "9" * 400}),
        ("[y, Off, ~, null, 'yes', \"1\", !!str 1, !!float 1]",
         [True, False, None, None, "yes", "1", "1", 1.0]),
        ("kind: [Route]", {"kind": ["Route"]}),
        ("a: shop\u00a0", {"a": "shop\u00a0"}),
        ("{a: b, c: [d]}", {"a": "b", "c": ["d"]}),
        ('{"a": 1}', {"a": 1}),
        ("", None),
    ],
)  # fmt: skip
def test_yaml_is_read_as_kubernetes_reads_it(text: str, expected: Any) -> None:
    assert negotiation.body(YAML, text.encode()) == expected


def test_what_an_alias_names_is_a_copy() -> None:
    found = negotiation.body(YAML, b"a: &a {x: [1]}\nb: *a")
    found["a"]["x"].append(2)
    assert found["b"] == {"x": [1]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9223372036854775807", (1 << 63) - 1),
        ("-9223372036854775808", -(1 << 63)),
        ("9223372036854775808", float(1 << 63)),
        ("9" * 40, 1e40),
        ('"\\ud800x"', "\ufffdx"),
        ('{"\\ud800": ["\\udfff"]}', {"\ufffd": ["\ufffd"]}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json_is_read_as_kubernetes_reads_it(text: str, expected: Any) -> None:
    found = bodies.read_json(text.encode())
    assert (found, type(found)) == (expected, type(expected))


def test_a_text_full_of_brackets_and_commas_is_one_value() -> None:
    text = {"data": {"a": '[{,\\"' * 100_000}}
    assert bodies.read_json(json.dumps(text).encode()) == text


def test_a_body_at_the_bounds_is_read() -> None:
    deep = b"[" * bodies.MAX_DEPTH + b"]" * bodies.MAX_DEPTH
    wide = b"[" + b"0," * (bodies.MAX_VALUES - 2) + b"0]"
    for raw in (deep, wide):
        assert bodies.read_json(raw) == negotiation.body(YAML, raw) == json.loads(raw)
