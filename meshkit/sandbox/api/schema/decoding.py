"""Decode request bodies into objects of the expected kind and namespace, handling unknown fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.requests import Object, Options, PatchType, Target
from meshkit.sandbox.api.schema import bodies, validation
from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.schema.types import Schema
from meshkit.sandbox.api.storage import patches, typed

_TYPES = re.compile(r'Invalid value: "(\w+)": .* must be of type (\w+)')
_OF_BYTES = {"secrets": "data", "configmaps": "binaryData"}
_WHOLE_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*")
_END_OF_BASE64 = re.compile(r"[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=")
_JSON_NAMES = {"integer": "number", "boolean": "bool"}
_WITH_METADATA = {"type": "object", "properties": {"metadata": schemas.OBJECT_META}}
_GO_NAMES = {"integer": "int32", "boolean": "bool"}


def decoded(target: Target, obj: Object, options: Options) -> Object:
    """Return a copy of an object with only the fields of its schema.

    Unknown fields are rejected, reported as warnings or dropped, depending on ``fieldValidation``.
    """
    resource = target.resource
    if not isinstance(obj, dict):
        raise status.bad_request("the body of the request is not an object")
    for name, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        given = obj.get(name) or wanted
        if given != wanted and (name == "kind" or given != resource.stored_api_version):
            raise status.bad_request(
                f"the {name} in the data ({given}) does not match the expected {name} ({wanted})"
            )
    new = copied(obj) | {"apiVersion": resource.stored_api_version, "kind": resource.kind}
    if not isinstance(new.setdefault("metadata", {}), dict):
        raise status.bad_request("metadata is not an object")
    validation.drop_nulls(resource.schema, new)
    dropped = validation.prune(resource.schema, new)
    _report_unknown(resource, dropped, options)
    _into_namespace(target, new)
    return new


def decoded_whole(target: Target, obj: Object, options: Options) -> Object:
    """Decode a complete object. Raises ApiError 400."""
    new = decoded(target, obj, options)
    fits(target.resource, new)
    return new


def decoded_config(target: Target, config: Object, options: Options) -> Object:
    """Decode and validate a configuration of server-side apply. Raises ApiError."""
    typed.check(target, config)
    return decoded(target, config, options)


def decoded_patch(
    target: Target, kind: PatchType, before: Mapping[str, Any], patch: Any, options: Options
) -> Object:
    """Return the object after a patch. Raises ApiError 400, 413 or 422."""
    new = decoded(target, patched(target, kind, before, patch), options)
    metadata_fits(target.resource, new)
    return new


def fits(resource: Resource, new: Object) -> None:
    """Raise ApiError 400 for a value that the Go type of a built-in kind cannot hold.

    For a custom resource this checks the metadata only; validation covers the rest.
    """
    if resource.custom:
        metadata_fits(resource, new)
        return
    kind = resource.kind
    where = _bad_base64(resource, new)
    if where is not None:
        raise status.bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {kind}: '
            f"illegal base64 data at input byte {where}"
        )
    check_types(kind, resource.version, resource.schema, new)


def metadata_fits(resource: Resource, new: Object) -> None:
    """Raise ApiError 400 for metadata of a wrong type."""
    check_types(resource.kind, resource.version, _WITH_METADATA, {"metadata": new["metadata"]})


def options_body(kind: str, definition: str, body: Any) -> Object:
    """Return the body of a request that is not stored, such as DeleteOptions.

    Raises ApiError 400 for a body of the wrong shape.
    """
    if not isinstance(body, dict):
        raise status.bad_request("the body of the request is not an object")
    schema = schemas.definition(definition)
    validation.drop_nulls(schema, body)
    check_types(kind, definition.split(".")[-2], schema, body)
    return body


def check_types(kind: str, version: str, schema: Schema, new: Object) -> None:
    """Raise ApiError 400 for the first value that the Go type of a built-in kind cannot hold."""
    for cause in validation.find_causes(schema, new):
        types = _TYPES.match(cause.message) if cause.reason == "FieldValueTypeInvalid" else None
        if types is not None:
            got, wanted = _JSON_NAMES.get(types[1], types[1]), _GO_NAMES.get(types[2], types[2])
            field = re.sub(r"\[\d+\]", "", cause.field)
            raise status.bad_request(
                f'{kind} in version "{version}" cannot be handled as a {kind}: json: cannot '
                f"unmarshal {got} into Go struct field {kind}.{field} of type {wanted}"
            )


def _bad_base64(resource: Resource, new: Object) -> int | None:
    """Return the position of the first invalid base64 character, or None when all values are valid."""
    values = new.get(_OF_BYTES.get(resource.key, "")) or {}
    for text in values.values() if isinstance(values, dict) else ():
        letters = re.sub(r"[\r\n]", "", text) if isinstance(text, str) else ""
        valid_prefix = _WHOLE_BASE64.match(letters)
        rest = letters[valid_prefix.end() if valid_prefix else 0 :]
        if rest and not _END_OF_BASE64.fullmatch(rest):
            invalid = re.search(r"[^A-Za-z0-9+/]", rest)
            return len(letters) - len(rest) + (invalid.start() if invalid else 0)
    return None


def _into_namespace(target: Target, new: Object) -> None:
    given = new["metadata"].get("namespace")
    if not target.resource.namespaced:
        new["metadata"].pop("namespace", None)
    elif given and given != target.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    else:
        new["metadata"]["namespace"] = target.namespace


def _report_unknown(resource: Resource, dropped: list[str], options: Options) -> None:
    if not dropped:
        return
    words = [f'unknown field "{path}"' for path in dropped]
    if options.field_validation == "Strict":
        text = f"strict decoding error: {', '.join(words)}"
        if not resource.custom:
            kind = resource.kind
            text = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {text}'
        raise status.bad_request(text)
    if options.field_validation == "Warn":
        options.warnings.extend(words)


def patched(target: Target, kind: PatchType, before: Mapping[str, Any], patch: Any) -> Any:
    """Return the object after a patch, before validation. Raises ApiError 400, 413 or 422."""
    try:
        if kind == "json":
            result = patches.json_patch(before, patch)
        elif kind == "merge":
            result = patches.merge_patch(before, patch)
        else:
            result = patches.strategic_patch(target.resource.schema, before, patch)
    except RecursionError:
        raise bodies.too_deep() from None
    except patches.TooLarge as error:
        raise status.ApiError(413, "RequestEntityTooLarge", str(error)) from error
    except patches.PatchFailed as error:
        if error.malformed:
            raise status.bad_request(str(error)) from error
        raise status.ApiError(
            422, "Invalid", "the server rejected our request due to an error in our request"
        ) from error
    bodies.check_object(result)
    return result
