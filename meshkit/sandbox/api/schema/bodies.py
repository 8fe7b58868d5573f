"""Read request bodies (JSON, YAML, protobuf) within bounds, so that no body costs more than its size allows.

JSON and YAML are read as kube-apiserver reads them: integers beyond 64 bits become floats, a number that no
float can hold is refused, NaN is no JSON, and lone surrogates become U+FFFD. kube-apiserver bounds bytes and
depth only; here the number of values is bounded too, because each value costs far more than in Go.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from meshkit.sandbox.api import status

MAX_BYTES = 3 << 20  # MaxRequestBodyBytes of kube-apiserver
MAX_DEPTH = 100
MAX_VALUES = 50_000
_MANAGED_FIELDS_DEPTH = 5
_LARGE_BYTES = 64 << 10
_LARGE_YAML_BYTES = 4 << 10  # YAML is read an order of magnitude more slowly than JSON
_LARGE_VALUES = 2_000

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def is_large(raw: bytes, *, yaml: bool = False) -> bool:
    """Whether a body takes so long to read that the event loop must not wait for it."""
    if len(raw) > (_LARGE_YAML_BYTES if yaml else _LARGE_BYTES):
        return True
    return len(raw) > _LARGE_VALUES and raw.count(b",") > _LARGE_VALUES


def too_many_bytes() -> status.ApiError:
    """413 for a body of too many bytes."""
    return status.too_large(f"limit is {MAX_BYTES}")


def too_many_values() -> status.ApiError:
    """413 for a body, or an object made from it, with more values than the sandbox reads."""
    return status.too_large(f"limit is {MAX_VALUES} values")


def too_deep() -> status.ApiError:
    """400 for a body that is nested too deeply."""
    return status.bad_request(f"the body of the request exceeds the max depth of {MAX_DEPTH}")


def read_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises ValueError where it is none, ApiError where it exceeds a bound."""
    try:
        value = _DECODER.decode(raw.decode())
    except RecursionError:
        raise too_deep() from None
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
    """An integer of 64 bits, or else the float next to it. Raises ApiError where no float is near."""
    if len(text) < 21:
        value = int(text)
        if -(1 << 63) <= value < 1 << 63:
            return value
    return _float(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise status.bad_request(f"json: cannot unmarshal number {shown} into Go value of type float64")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _with_valid_text(value: Any) -> Any:
    """The value with each lone surrogate replaced, because no such text can be stored or sent."""
    if isinstance(value, str):
        return _LONE_SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_with_valid_text(each) for each in value]
    if isinstance(value, dict):
        return {_with_valid_text(key): _with_valid_text(each) for key, each in value.items()}
    return value


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)


def check_object(value: Any) -> None:
    """Raise ApiError for an object that a patch has made too deep or too large.

    It may be deeper than a body by what managedFields put around the names of its fields.
    """
    check_value(value, max_depth=MAX_DEPTH + _MANAGED_FIELDS_DEPTH)


def check_value(value: Any, *, max_depth: int = MAX_DEPTH) -> None:
    """Raise ApiError for a value that is too deep or has too many parts, however it was made."""
    level, count, depth = [value], 0, 0
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise too_many_values()
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        depth += 1
        if below and depth > max_depth:
            raise too_deep()
        level = below


def size_bytes(value: Any, *, at_most: int = MAX_BYTES) -> int:
    """About how long a value is as JSON; counting ends soon after ``at_most``."""
    size, waiting = 0, [value]
    while waiting and size <= at_most:
        each = waiting.pop()
        if isinstance(each, dict):
            size += sum(len(key) + 4 for key in each) + 2
            waiting.extend(each.values())
        elif isinstance(each, list):
            size += len(each) + 2
            waiting.extend(each)
        else:
            size += len(each) + 2 if isinstance(each, str) else 4
    return size


def read_yaml(raw: bytes) -> Any:
    """The value of one YAML document. Raises ApiError.

    Most clients send JSON under the name of YAML, which is read as JSON.
    """
    if raw.lstrip()[:1] == b"{":
        try:
            return read_json(raw)
        except ValueError:
            pass  # a flow mapping of YAML
    from meshkit.sandbox.api.schema import yaml_bodies

    return yaml_bodies.read(raw)
