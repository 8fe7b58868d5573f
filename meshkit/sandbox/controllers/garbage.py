"""Owners and what they own: orphans are deleted, and an owner waits for them where it was asked to.

Every deletion leads to one look over all objects: at a sandbox's size that takes a few milliseconds, and
there is no graph of owners to keep right. An owner counts as gone only when it is not found by name and uid
at the time of deletion. ``propagationPolicy`` shows as a finalizer on the owner: with ``foregroundDeletion``
it goes after what it owns, and that after what it owns in turn; with ``orphan`` what it owns loses the
reference and stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.objects import Object, is_terminating, key_of

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

QUIET_S = 0.05
"""Deletions within this time are one look."""
SWEEP_S = 10.0
"""A look without any deletion: custom resources, whose deletions are not watched, and whatever was missed."""
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

Located = tuple[str, Object]
"""A resource's name and an object of it."""


class GarbageCollector:
    """Looks for objects without owners, and for owners that wait."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._deleted = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource in self._client.resources():
                if resource != "events":
                    tasks.create_task(self._watch(resource))
            tasks.create_task(self._sweep())

    async def _watch(self, resource: str) -> None:
        async for event in self._client.watch(resource):
            if event.type == "DELETED" or is_terminating(event.object):
                self._deleted.set()

    async def _sweep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._deleted.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(QUIET_S)
            self._deleted.clear()
            try:
                await self.collect()
            except ApiError as exc:
                log.warning("garbage collection: %s", exc.message)

    async def collect(self) -> None:
        """One look: delete orphans, let waiting owners go."""
        everything = [
            (resource, obj)
            for resource in self._client.resources()
            for obj in await self._client.list(resource)
        ]
        alive = {obj["metadata"]["uid"] for _, obj in everything}
        owned = [each for each in everything if each[1]["metadata"].get("ownerReferences")]
        for resource, owner in everything:
            for finalizer in (owner["metadata"].get("finalizers") or ()) if is_terminating(owner) else ():
                if finalizer in (FOREGROUND, ORPHAN):
                    await self._let_go(resource, owner, finalizer, owned)
        for resource, obj in owned:
            owners = obj["metadata"]["ownerReferences"]
            if is_terminating(obj) or any(each["uid"] in alive for each in owners):
                continue
            if not await self._any_alive(owners, obj["metadata"].get("namespace")):
                await self._delete(resource, obj)

    async def _let_go(self, resource: str, owner: Object, finalizer: str, owned: Sequence[Located]) -> None:
        """Take the step that ``finalizer`` asks for, and give it up when nothing is left to do."""
        uid = owner["metadata"]["uid"]
        children = [
            each for each in owned if any(ref["uid"] == uid for ref in each[1]["metadata"]["ownerReferences"])
        ]
        for child_resource, child in children:
            if finalizer == ORPHAN:
                namespace, name = key_of(child)
                rest = [ref for ref in child["metadata"]["ownerReferences"] if ref["uid"] != uid]
                patch = {"metadata": {"ownerReferences": rest or None}}
                await self._client.merge_patch(child_resource, name, namespace or None, patch)
            elif not is_terminating(child):
                await self._delete(child_resource, child, propagation="Foreground")
        if finalizer == FOREGROUND and children:
            return
        namespace, name = key_of(owner)
        kept = [each for each in owner["metadata"]["finalizers"] if each != finalizer]
        await self._client.merge_patch(
            resource, name, namespace or None, {"metadata": {"finalizers": kept or None}}
        )

    async def _delete(self, resource: str, obj: Object, *, propagation: str | None = None) -> None:
        namespace, name = key_of(obj)
        await self._client.delete(resource, name, namespace or None, propagation=propagation)

    async def _any_alive(self, owners: Sequence[Object], namespace: str | None) -> bool:
        for owner in owners:
            resource = self._client.resource_of(owner["apiVersion"], owner["kind"])
            if resource is None:
                return True  # a kind that is not served (any more): nothing can be said about it
            found = await self._client.get(resource, owner["name"], namespace)
            if found is not None and found["metadata"]["uid"] == owner["uid"]:
                return True
        return False
