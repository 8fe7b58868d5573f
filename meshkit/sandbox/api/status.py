"""API errors as Kubernetes ``Status`` objects with code, reason and details.

Clients act on these fields (client-go retries a Conflict, waits on NotFound), so the wording of each
constructor matches k8s.io/apimachinery/pkg/api/errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.errors import SandboxError


@dataclass(frozen=True)
class Cause:
    """Describe one invalid field, an entry of ``details.causes``."""

    field: str
    reason: str
    message: str

    @property
    def text(self) -> str:
        """Return the cause as one line, such as ``spec.replicas: Invalid value: ...``."""
        return f"{self.field}: {self.message}" if self.field else self.message


class ApiError(SandboxError):
    """Raised when the API server rejects a request.

    ``code`` is the HTTP status, ``reason`` the machine-readable reason of Kubernetes.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, remedy="")
        self.code = code
        self.reason = reason
        self.details = dict(details or {})

    def status(self) -> dict[str, Any]:
        """Return the ``Status`` object of the response."""
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
    """Return a 404 error for one object."""
    return ApiError(
        404, "NotFound", f'{_resource(plural, group)} "{name}" not found', _about(plural, group, name)
    )


def no_such_path() -> ApiError:
    """Return a 404 error for a path or kind that is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """Return a 409 error for a create whose name is taken."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{_resource(plural, group)} "{name}" already exists',
        _about(plural, group, name),
    )


def conflict(plural: str, group: str, name: str, why: str = "") -> ApiError:
    """Return a 409 error for a resourceVersion or uid that is no longer current."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {_resource(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _about(plural, group, name))


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """Return a 422 error that lists every invalid field."""
    listed = list(causes)
    texts = [cause.text for cause in listed]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = _about(kind, group, name) | {
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in listed
        ]
    }
    full = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {joined}', details)


def bad_request(message: str) -> ApiError:
    """Return a 400 error."""
    return ApiError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str, causes: Iterable[Cause] = ()) -> ApiError:
    """Return a 403 error for a user without permission or an object that admission rejects."""
    subject = f'{_resource(plural, group)} "{name}"' if name else _resource(plural, group)
    details = _about(plural, group, name)
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    if listed:
        details["causes"] = listed
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def unauthorized() -> ApiError:
    """Return a 401 error for a request without a valid token."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    """Return a 410 error for a compacted resourceVersion, after which the client must list again."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(message: str) -> ApiError:
    """Return a 415 error for a body in an unsupported format."""
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(why: str) -> ApiError:
    """Return a 413 error for a body or object that exceeds a limit."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {why}")


def bare(code: int, message: str) -> ApiError:
    """Return an error without a machine-readable reason."""
    return ApiError(code, "", message)


def unsupported_option(kind: str, field: str, quoted_value: str, supported: str) -> ApiError:
    """Return a 422 error for the unsupported value of a query parameter of the options ``kind``."""
    why = f"Unsupported value: {quoted_value}: supported values: {supported}"
    return invalid(kind, "meta.k8s.io", "", [Cause(field, "FieldValueNotSupported", why)])


def internal(message: str) -> ApiError:
    """Return a 500 error."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def required(field: str, message: str = "Required value") -> Cause:
    """Return the cause for a missing required field."""
    return Cause(field, "FieldValueRequired", message)


def invalid_value(field: str, value: object, why: str) -> Cause:
    """Return the cause for a field with an invalid value."""
    encoded = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return Cause(field, "FieldValueInvalid", f"Invalid value: {encoded}: {why}")


def unsupported_value(field: str, value: object, supported: str) -> Cause:
    """Return the cause for a field whose value is not among the supported ones."""
    why = f'Unsupported value: "{value}": supported values: {supported}'
    return Cause(field, "FieldValueNotSupported", why)
