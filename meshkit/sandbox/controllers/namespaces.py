"""Namespaces: a default ServiceAccount in each, and an end that leaves nothing behind.

A namespace that is being deleted stays until everything in it is gone; this controller deletes the content,
then lets the namespace go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, is_terminating

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

ACCOUNTS = "serviceaccounts"
LOOK_AGAIN_S = 0.2


class NamespaceController:
    """Furnishes namespaces and empties those that go."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Namespaces, and ServiceAccounts (a deleted ``default`` comes back)."""
        return {
            "namespaces": lambda obj: [("", obj["metadata"]["name"])],
            ACCOUNTS: lambda obj: [("", obj["metadata"]["namespace"])],
        }

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Furnish or empty one namespace."""
        found = await self._client.get("namespaces", name)
        if found is None:
            return None
        if not is_terminating(found):
            if await self._client.get(ACCOUNTS, "default", name) is None:
                await self._client.create(ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
            return None
        for resource, content in self._client.keys_in(name):
            obj = await self._client.get(resource, content, name)
            if obj is not None and not is_terminating(obj):
                await self._client.delete(resource, content, name)
        if self._client.keys_in(name):
            return LOOK_AGAIN_S
        await self._client.finalize_namespace(name)
        return None
