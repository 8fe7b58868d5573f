"""The namespace controller creates default ServiceAccounts and empties namespaces being deleted.

A namespace that is being deleted remains until all objects in it are deleted. The controller deletes these
objects and then finalizes the namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, is_terminating

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

ACCOUNTS = "serviceaccounts"
RETRY_S = 0.2


class NamespaceController:
    """Creates the default ServiceAccount of each namespace and empties namespaces being deleted."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Namespaces and ServiceAccounts, because a deleted ``default`` is created again."""
        return {
            "namespaces": lambda obj: [("", obj["metadata"]["name"])],
            ACCOUNTS: lambda obj: [("", obj["metadata"]["namespace"])],
        }

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Create the default ServiceAccount of one namespace, or empty the namespace."""
        current = await self._client.get("namespaces", name)
        if current is None:
            return None
        if not is_terminating(current):
            if await self._client.get(ACCOUNTS, "default", name) is None:
                await self._client.create(ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
            return None
        for resource, content in self._client.keys_in(name):
            obj = await self._client.get(resource, content, name)
            if obj is not None and not is_terminating(obj):
                await self._client.delete(resource, content, name)
        if self._client.keys_in(name):
            return RETRY_S
        await self._client.finalize_namespace(name)
        return None
