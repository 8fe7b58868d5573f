"""Data types that describe a request, passed from HTTP and in-process callers to ``writes``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from meshkit.sandbox.api import status
from meshkit.sandbox.api.auth.users import User
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage.ownership import Endpoint
from meshkit.sandbox.api.storage.store import Key

Object = dict[str, Any]
PatchType = Literal["json", "merge", "strategic"]


@dataclass(frozen=True)
class Target:
    """Identify the object, collection or subresource that a request addresses."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        """Return the key of the object in the store."""
        return Key(self.resource.key, self.namespace, self.name)

    @property
    def endpoint(self) -> Endpoint:
        """Return the field ownership rules of this endpoint."""
        return Endpoint(
            self.resource.schema,
            self.resource.api_version,
            self.subresource,
            "status" in self.resource.subresources,
            tuple(f"f:{name}" for name in self.resource.replicas_path),
        )

    def not_found(self) -> status.ApiError:
        """Return the 404 error for this object."""
        return status.not_found(self.resource.plural, self.resource.group, self.name)

    def conflict(self, why: str = "") -> status.ApiError:
        """Return the 409 error for this object."""
        return status.conflict(self.resource.plural, self.resource.group, self.name, why)

    def forbidden(self, why: str) -> status.ApiError:
        """Return the 403 error for this object."""
        return status.forbidden(self.resource.plural, self.resource.group, self.name, why)


@dataclass(frozen=True)
class Options:
    """Hold the options of a write request.

    ``large`` means that the work on the body runs in a thread; ``warnings`` collects the texts of the Warning
    response headers.
    """

    user: User
    manager: str
    dry_run: bool = False
    field_validation: str = "Warn"
    force: bool = False
    large: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DeleteOptions:
    """Hold the options of a DELETE request."""

    grace_period_s: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None


@dataclass(frozen=True)
class Admission:
    """Hold one write as the admission steps receive it."""

    operation: Literal["CREATE", "UPDATE"]
    target: Target
    object: Object
    old: Mapping[str, Any] | None
    options: Options


class Admit(Protocol):
    """Interface of the admission webhooks; both methods raise ApiError to reject a write."""

    async def mutate(self, admission: Admission) -> Object:
        """Return the object as changed by the mutating webhooks."""

    async def validate(self, admission: Admission) -> None:
        """Call the validating webhooks."""


def now(*, after_s: float = 0) -> str:
    """Return the current time plus ``after_s`` in the timestamp format of object metadata."""
    return (datetime.now(UTC) + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
