"""Decode the protobuf bodies that kubectl and Helm send for built-in kinds. Responses never use protobuf.

A body is ``k8s\0`` and a ``runtime.Unknown`` {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw message}. Field
numbers come from ``schema.published``. Go encodes the zero values of fields that are not pointers, so empty
strings, zeros and empty messages are dropped, except in fields whose zero value has a meaning.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema.published import protobuf_messages

_MAGIC = b"k8s\x00"
_MAX_VARINT_BYTES = 10  # of 64 bits
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_ZERO_MEANS = {
    "served",
    "storage",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "additionalProperties",
    "default",
    "activeDeadlineSeconds",
    "backoffLimit",
    "completions",
    "parallelism",
    "replicas",
    "ttlSecondsAfterFinished",
    "gracePeriodSeconds",
    "minAvailable",
    "maxUnavailable",
    "terminationGracePeriodSeconds",
}
_PACKAGES = {
    "v1": "io.k8s.api.core.v1",
    "apps/v1": "io.k8s.api.apps.v1",
    "authentication.k8s.io/v1": "io.k8s.api.authentication.v1",
    "authorization.k8s.io/v1": "io.k8s.api.authorization.v1",
    "autoscaling/v1": "io.k8s.api.autoscaling.v1",
    "batch/v1": "io.k8s.api.batch.v1",
    "coordination.k8s.io/v1": "io.k8s.api.coordination.v1",
    "discovery.k8s.io/v1": "io.k8s.api.discovery.v1",
    "networking.k8s.io/v1": "io.k8s.api.networking.v1",
    "policy/v1": "io.k8s.api.policy.v1",
    "rbac.authorization.k8s.io/v1": "io.k8s.api.rbac.v1",
    "admissionregistration.k8s.io/v1": "io.k8s.api.admissionregistration.v1",
    "apiextensions.k8s.io/v1": _EXTENSIONS,
}


def decode(body: bytes) -> dict[str, Any]:
    """Return the object in a request body.

    Raises ApiError 415 for an unsupported kind, and 400 for an invalid body.
    """
    if not body.startswith(_MAGIC):
        raise status.bad_request("the protobuf body does not begin with the Kubernetes prefix")
    try:
        envelope = dict(_fields(memoryview(body)[len(_MAGIC) :]))
        names = dict(_fields(envelope[1]))
        api_version, kind = _text(names[1]), _text(names[2])
        message = _message_name(api_version, kind)
        obj = {"apiVersion": api_version, "kind": kind, **_message(message, envelope.get(2, b""))}
    except RecursionError:
        raise bodies.too_deep() from None
    except (LookupError, struct.error, ValueError, TypeError, OverflowError, OSError) as error:
        raise status.bad_request(f"the protobuf body cannot be read: {error!r}") from error
    bodies.check_value(obj)
    return obj


def _message_name(api_version: str, kind: str) -> str:
    package = _META if kind == "DeleteOptions" else _PACKAGES.get(api_version, "")
    name = f"{package}.{kind}"
    if name not in protobuf_messages():
        raise status.unsupported_media_type(
            f"the sandbox does not support protobuf for kind {kind} ({api_version}); send JSON or YAML"
        )
    return name


def _text(raw: Any) -> str:
    return str(raw, "utf-8")


def _fields(raw: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of each field, an int for varints and bytes for all other types."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(raw, at)
        else:
            size = {1: 8, 5: 4}[wire]
        if at + size > len(raw):
            raise ValueError("unexpected EOF")
        yield number, raw[at : at + size]
        at += size


def _varint(raw: bytes | memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_MAX_VARINT_BYTES):
        byte = raw[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + place + 1
    raise ValueError("integer overflow")


def _message(name: str, raw: bytes | memoryview) -> Any:
    special = _SPECIAL.get(name)
    if special is not None:
        return special(raw)
    known = protobuf_messages()[name]
    result: dict[str, Any] = {}
    for number, value in _fields(raw):
        if str(number) not in known:
            continue
        field, kind, flag = known[str(number)]
        if flag == "map":
            pair = dict(_fields(value))
            result.setdefault(field, {})[_text(pair.get(1, b""))] = _value(kind, pair.get(2, b""))
            continue
        decoded = _value(kind, value)
        if flag == "repeated":
            result.setdefault(field, []).append(decoded)
        elif flag == "inline":
            result.update(decoded or {})
        elif (
            decoded not in (None, "", 0, False, {})
            or (decoded in (0, "") and field in _ZERO_MEANS)
            or (decoded == {} and (name in _POINTERS_ONLY or not _always_written(field)))
        ):
            result[field] = decoded
    return result


def _always_written(field: str) -> bool:
    """Return whether a field is a struct that Go embeds by value and encodes even when empty."""
    return field in (
        "metadata",
        "spec",
        "status",
        "resources",
        "strategy",
        "template",
        "loadBalancer",
        "daemonEndpoints",
    )


def _value(kind: str, value: Any) -> Any:
    if kind in ("int32", "int64"):
        return value - (1 << 64) if value >= 1 << 63 else value
    if kind == "bool":
        return bool(value)
    if kind == "string":
        return _text(value)
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "double":
        return struct.unpack("<d", value)[0]
    return _message(kind, value)


def _time(raw: bytes | memoryview) -> str | None:
    fields = dict(_fields(raw))
    seconds = _value("int64", fields.get(1, 0))
    if not fields or seconds <= -62135596800:  # Go's zero time
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(raw: bytes | memoryview) -> str | None:
    fields = dict(_fields(raw))
    if not fields:
        return None
    moment = datetime.fromtimestamp(_value("int64", fields.get(1, 0)) + fields.get(2, 0) / 1e9, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _quantity(raw: bytes | memoryview) -> str:
    return _text(dict(_fields(raw)).get(1, b"0"))


def _int_or_string(raw: bytes | memoryview) -> int | str:
    fields = dict(_fields(raw))
    if fields.get(1, 0) == 1:
        return _text(fields.get(3, b""))
    number: int = _value("int32", fields.get(2, 0))
    return number


def _json(raw: bytes | memoryview) -> Any:
    text = dict(_fields(raw)).get(1, b"")
    return bodies.read_json(bytes(text)) if text else {}


def _schema_or_list(raw: bytes | memoryview) -> Any:
    """Decode JSONSchemaPropsOrArray or JSONSchemaPropsOrStringArray, of which only a schema is kept."""
    schemas = [(number, value) for number, value in _fields(raw)]
    return next((_message(_SCHEMA, value) for number, value in schemas if number == 1), {})


def _schema_or_bool(raw: bytes | memoryview) -> Any:
    """Decode JSONSchemaPropsOrBool, a schema or a boolean."""
    fields = dict(_fields(raw))
    return _message(_SCHEMA, fields[2]) if 2 in fields else bool(fields.get(1, 0))


def _strings(raw: bytes | memoryview) -> list[str]:
    """Decode a named list of strings (``ExtraValue``), which is a separate message in protobuf."""
    return [_text(value) for _, value in _fields(raw)]


_SCHEMA = f"{_EXTENSIONS}.JSONSchemaProps"
_POINTERS_ONLY = {f"{_EXTENSIONS}.CustomResourceSubresources", _SCHEMA}
_SPECIAL = {
    f"{_EXTENSIONS}.JSON": _json,
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": _schema_or_list,
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": _schema_or_bool,
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": _micro_time,
    f"{_META}.FieldsV1": _json,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _json,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "io.k8s.api.authentication.v1.ExtraValue": _strings,
    "io.k8s.api.authorization.v1.ExtraValue": _strings,
    f"{_META}.Verbs": _strings,
}
