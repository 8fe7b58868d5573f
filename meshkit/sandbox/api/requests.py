"""What a write is about and how it is meant: the data that passes from HTTP or in-process callers to
``writes``."""

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
    """What a request is about."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        """Where the object lies."""
        return Key(self.resource.key, self.namespace, self.name)

    @property
    def endpoint(self) -> Endpoint:
        """What can be owned through here."""
        return Endpoint(
            self.resource.schema,
            self.resource.api_version,
            self.subresource,
            "status" in self.resource.subresources,
            tuple(f"f:{name}" for name in self.resource.replicas_path),
        )

    def not_found(self) -> status.ApiError:
        """404 for this object."""
        return status.not_found(self.resource.plural, self.resource.group, self.name)

    def conflict(self, why: str = "") -> status.ApiError:
        """409 for this object."""
        return status.conflict(self.resource.plural, self.resource.group, self.name, why)

    def forbidden(self, why: str) -> status.ApiError:
        """403 for this object."""
        return status.forbidden(self.resource.plural, self.resource.group, self.name, why)


@dataclass(frozen=True)
class Options:
    """How a write is meant. ``large`` tells that the work on its body belongs in a thread; ``warnings``
    collects what goes out as Warning headers.
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
    """The body of a DELETE."""

    grace_period_s: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None


@dataclass(frozen=True)
class Admission:
    """One object on its way into the store, as admission sees it."""

    operation: Literal["CREATE", "UPDATE"]
    target: Target
    object: Object
    old: Mapping[str, Any] | None
    options: Options


class Admit(Protocol):
    """Webhooks. ``mutate`` returns the changed object; both raise ApiError to refuse."""

    async def mutate(self, admission: Admission) -> Object:
        """Let mutating webhooks change the object."""

    async def validate(self, admission: Admission) -> None:
        """Let validating webhooks refuse it."""


def now(*, after_s: float = 0) -> str:
    """The time, or the one in a while, as metadata has it."""
    return (datetime.now(UTC) + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
