"""An API server without HTTP for controllers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from meshkit.sandbox.api.auth.users import Tokens
from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.requests import Admission
from meshkit.sandbox.api.schema.registry import Registry
from meshkit.sandbox.api.storage.store import Store
from meshkit.sandbox.api.storage.writes import Writes


class NoWebhooks:
    async def mutate(self, admission: Admission) -> dict[str, Any]:
        return admission.object

    async def validate(self, admission: Admission) -> None:
        return None


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(":memory:")) as found:
        yield found


@pytest.fixture
def client(store: Store) -> LocalClient:
    writes = Writes(store, Registry(), NoWebhooks())
    return LocalClient(writes, Tokens("admin", b"key", lambda *_: None))
