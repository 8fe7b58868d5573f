"""Refusals as Kubernetes shapes them: a ``Status`` object with code, reason and details.

Clients act on these fields (client-go retries a Conflict, waits on NotFound), so each constructor follows the
original's wording (k8s.io/apimachinery/pkg/api/errors).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.errors import SandboxError


@dataclass(frozen=True)
class Cause:
    """One entry of ``details.causes``: which field, why in one word, why in a sentence."""

    field: str
    reason: str
    message: str

    @property
    def text(self) -> str:
        """``spec.replicas: Invalid value: ...``."""
        return f"{self.field}: {self.message}" if self.field else self.message


class ApiError(SandboxError):
    """A request that the API server refuses. ``code`` is the HTTP status, ``reason`` Kubernetes' one word
    for it.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, remedy="")
        self.code = code
        self.reason = reason
        self.details = dict(details or {})

    def status(self) -> dict[str, Any]:
        """The ``Status`` object that goes over the wire."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


def _about(plural: str, group: str, name: str) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("group", group), ("kind", plural)) if value}


def _resource(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404 for one object."""
    return ApiError(
        404, "NotFound", f'{_resource(plural, group)} "{name}" not found', _about(plural, group, name)
    )


def no_such_path() -> ApiError:
    """404 for an address or kind that is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409 on create."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{_resource(plural, group)} "{name}" already exists',
        _about(plural, group, name),
    )


def conflict(plural: str, group: str, name: str, why: str = "") -> ApiError:
    """409: the resourceVersion or uid that the client saw is no longer the present one."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {_resource(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _about(plural, group, name))


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """422 with every field that is wrong."""
    listed = list(causes)
    texts = [cause.text for cause in listed]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = _about(kind, group, name) | {
        "causes": [{"reason": each.reason, "message": each.message, "field": each.field} for each in listed]
    }
    full = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {joined}', details)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str, causes: Iterable[Cause] = ()) -> ApiError:
    """403: the user may not, or the object's namespace refuses."""
    subject = f'{_resource(plural, group)} "{name}"' if name else _resource(plural, group)
    details = _about(plural, group, name)
    listed = [{"reason": each.reason, "message": each.message, "field": each.field} for each in causes]
    if listed:
        details["causes"] = listed
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def unauthorized() -> ApiError:
    """401: no token, or not one of this sandbox."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    """410: the resourceVersion asked for has been compacted away; the client lists again."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(message: str) -> ApiError:
    """415: a body in a form that is not read here."""
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(why: str) -> ApiError:
    """413: more than an object may hold."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {why}")


def bare(code: int, message: str) -> ApiError:
    """An error that Kubernetes gives no reason in one word."""
    return ApiError(code, "", message)


def unsupported_option(kind: str, field: str, shown: str, supported: str) -> ApiError:
    """422 for a query parameter: ``kind`` names the options that it belongs to."""
    why = f"Unsupported value: {shown}: supported values: {supported}"
    return invalid(kind, "meta.k8s.io", "", [Cause(field, "FieldValueNotSupported", why)])


def internal(message: str) -> ApiError:
    """500."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def required(field: str, message: str = "Required value") -> Cause:
    """A field that is missing."""
    return Cause(field, "FieldValueRequired", message)


def invalid_value(field: str, value: object, why: str) -> Cause:
    """A field whose value cannot be."""
    shown = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")
