"""Decode request bodies within limits on bytes, depth and number of values.

JSON and YAML are decoded like in kube-apiserver: integers beyond 64 bits become floats, numbers beyond the
range of floats are rejected, NaN is invalid, and lone surrogates become U+FFFD. kube-apiserver limits bytes
and depth only; the sandbox also limits the number of values, because each value costs far more in Python than
in Go.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from meshkit.sandbox.api import status

MAX_BYTES = 3 << 20  # MaxRequestBodyBytes of kube-apiserver
MAX_DEPTH = 100
MAX_VALUES = 50_000
_MANAGED_FIELDS_DEPTH = 5
_LARGE_BYTES = 64 << 10
_LARGE_YAML_BYTES = 4 << 10  # decoding YAML is an order of magnitude slower than JSON
_LARGE_VALUES = 2_000

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def is_large(raw: bytes, *, yaml: bool = False) -> bool:
    """Return whether a body is too slow to decode on the event loop."""
    if len(raw) > (_LARGE_YAML_BYTES if yaml else _LARGE_BYTES):
        return True
    return len(raw) > _LARGE_VALUES and raw.count(b",") > _LARGE_VALUES


def too_many_bytes() -> status.ApiError:
    """Return a 413 error for a body with too many bytes."""
    return status.too_large(f"limit is {MAX_BYTES}")


def too_many_values() -> status.ApiError:
    """Return a 413 error for a body or object with too many values."""
    return status.too_large(f"limit is {MAX_VALUES} values")


def too_deep() -> status.ApiError:
    """Return a 400 error for a body that is nested too deeply."""
    return status.bad_request(f"the body of the request exceeds the max depth of {MAX_DEPTH}")


def read_json(raw: bytes, duplicates: list[str] | None = None) -> Any:
    """Decode a JSON text. Raises ValueError when it is invalid, and ApiError when it exceeds a limit.

    The last of several equal keys is valid; ``duplicates`` receives a sentence about each of them.
    """
    repeated = False

    def built(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        value = dict(members)
        repeated = repeated or len(value) != len(members)
        return value

    try:
        value = (_DECODER if duplicates is None else _decoder(built)).decode(raw.decode())
    except RecursionError:
        raise too_deep() from None
    if duplicates is not None and repeated:
        found = _repeated_keys(_decoder(_Members).decode(raw.decode()), "")
        duplicates += dict.fromkeys(f'duplicate field "{path}"' for path in found)
    if _may_exceed_a_bound(raw):
        check_value(value)
    if b"\\ud" in raw or b"\\uD" in raw:
        return _with_valid_text(value)
    return value


def _may_exceed_a_bound(raw: bytes) -> bool:
    opened = raw.count(b"[") + raw.count(b"{")
    return opened > MAX_DEPTH or (len(raw) > MAX_VALUES and opened + raw.count(b",") >= MAX_VALUES)


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 19 else integer_or_float(text)


def integer_or_float(text: str) -> int | float:
    """Return a 64-bit integer, or else the nearest float.

    Raises ApiError when the number exceeds the range of floats.
    """
    if len(text) < 21:
        value = int(text)
        if -(1 << 63) <= value < 1 << 63:
            return value
    return _float(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        excerpt = text if len(text) <= 40 else f"{text[:40]}..."
        raise status.bad_request(f"json: cannot unmarshal number {excerpt} into Go value of type float64")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _with_valid_text(value: Any) -> Any:
    """Return the value with each lone surrogate replaced, because such text cannot be encoded."""
    if isinstance(value, str):
        return _LONE_SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_with_valid_text(item) for item in value]
    if isinstance(value, dict):
        return {_with_valid_text(key): _with_valid_text(item) for key, item in value.items()}
    return value


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, including those with equal keys."""


def _repeated_keys(value: Any, path: str) -> Iterator[str]:
    """Yield the path of each key that an object has more than once."""
    if isinstance(value, _Members):
        seen: set[str] = set()
        for key, member in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                yield where
            seen.add(key)
            yield from _repeated_keys(member, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated_keys(item, f"{path}[{index}]")


def _decoder(built: Callable[[list[tuple[str, Any]]], Any] | None = None) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_int=_integer, parse_float=_float, parse_constant=_constant, object_pairs_hook=built
    )


_DECODER = _decoder()


def check_object(value: Any) -> None:
    """Raise ApiError for an object that a patch has made too deep or too large.

    An object may be deeper than a body, because managedFields nest its field names.
    """
    check_value(value, max_depth=MAX_DEPTH + _MANAGED_FIELDS_DEPTH)


def check_value(value: Any, *, max_depth: int = MAX_DEPTH) -> None:
    """Raise ApiError for a value that is too deep or has too many nested values."""
    level, count, depth = [value], 0, 0
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise too_many_values()
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
        depth += 1
        if below and depth > max_depth:
            raise too_deep()
        level = below


def size_bytes(value: Any, *, at_most: int = MAX_BYTES) -> int:
    """Return the approximate length of a value as JSON, counting only little beyond ``at_most``."""
    size, waiting = 0, [value]
    while waiting and size <= at_most:
        node = waiting.pop()
        if isinstance(node, dict):
            size += sum(len(key) + 4 for key in node) + 2
            waiting.extend(node.values())
        elif isinstance(node, list):
            size += len(node) + 2
            waiting.extend(node)
        else:
            size += len(node) + 2 if isinstance(node, str) else 4
    return size


def read_yaml(raw: bytes, duplicates: list[str] | None = None) -> Any:
    """Decode a single YAML document. Raises ApiError.

    Most clients send JSON as YAML, which is decoded as JSON. The last of several equal keys is valid;
    ``duplicates`` receives a sentence about each of them.
    """
    repeated: list[str] = []
    if raw.lstrip()[:1] == b"{":
        try:
            value = read_json(raw, repeated)
            if not repeated or duplicates is None:
                return value
        except ValueError:
            pass  # a flow mapping of YAML
    from meshkit.sandbox.api.schema import yaml_bodies

    return yaml_bodies.read(raw, duplicates)
