"""The garbage collector deletes orphaned objects and completes foreground and orphan deletions.

Every deletion triggers a scan of the metadata of all objects. At a sandbox's size that takes a few
milliseconds, so no graph of owners has to be maintained. An owner counts as deleted only when no object with
its name and uid exists at the time of the scan. ``propagationPolicy`` appears as a finalizer on the owner:
with ``foregroundDeletion`` the owner is deleted after its dependents, recursively; with ``orphan`` the
dependents lose the owner reference and remain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.loop import skipping
from meshkit.sandbox.controllers.objects import Object, is_terminating, key_of

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

QUIET_S = 0.05
"""Deletions within this time share one scan."""
SWEEP_S = 10.0
"""Period of scans without a deletion, for custom resources (which are not watched) and missed events."""
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

Located = tuple[str, Object]
"""The name of a resource and one of its objects, of which only the metadata was read."""


class GarbageCollector:
    """Finds orphaned objects and owners whose deletion waits for their dependents."""

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
            with skipping(resource, event.object):
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
            except Exception:
                log.exception("garbage collection failed and is repeated")

    async def collect(self) -> None:
        """Scan all objects once: delete orphans and process the finalizers of owners being deleted."""
        everything = [
            (resource, obj)
            for resource in self._client.resources()
            for obj in await self._client.list_metadata(resource)
        ]
        alive = {obj["metadata"]["uid"] for _, obj in everything}
        owned = [located for located in everything if located[1]["metadata"].get("ownerReferences")]
        for resource, owner in everything:
            for finalizer in (owner["metadata"].get("finalizers") or ()) if is_terminating(owner) else ():
                if finalizer in (FOREGROUND, ORPHAN):
                    await self._process_finalizer(resource, owner, finalizer, owned)
        for resource, obj in owned:
            owners = obj["metadata"]["ownerReferences"]
            if is_terminating(obj) or any(owner["uid"] in alive for owner in owners):
                continue
            if not await self._any_alive(owners, obj["metadata"].get("namespace")):
                await self._delete(resource, obj)

    async def _process_finalizer(
        self, resource: str, owner: Object, finalizer: str, owned: Sequence[Located]
    ) -> None:
        """Take the next step that ``finalizer`` requires and remove it when no step remains."""
        uid = owner["metadata"]["uid"]
        children = [
            located
            for located in owned
            if any(ref["uid"] == uid for ref in located[1]["metadata"]["ownerReferences"])
        ]
        for child_resource, child in children:
            if finalizer == ORPHAN:
                namespace, name = key_of(child)
                references = [ref for ref in child["metadata"]["ownerReferences"] if ref["uid"] != uid]
                patch = {"metadata": {"ownerReferences": references or None}}
                await self._client.merge_patch(child_resource, name, namespace or None, patch)
            elif not is_terminating(child):
                await self._delete(child_resource, child, propagation="Foreground")
        if finalizer == FOREGROUND and children:
            return
        namespace, name = key_of(owner)
        remaining = [name for name in owner["metadata"]["finalizers"] if name != finalizer]
        await self._client.merge_patch(
            resource, name, namespace or None, {"metadata": {"finalizers": remaining or None}}
        )

    async def _delete(self, resource: str, obj: Object, *, propagation: str | None = None) -> None:
        namespace, name = key_of(obj)
        await self._client.delete(resource, name, namespace or None, propagation=propagation)

    async def _any_alive(self, owners: Sequence[Object], namespace: str | None) -> bool:
        for owner in owners:
            resource = self._client.resource_of(owner["apiVersion"], owner["kind"])
            if resource is None:
                return True  # The kind is not served, so whether the owner exists is unknown.
            existing = await self._client.get(resource, owner["name"], namespace)
            if existing is not None and existing["metadata"]["uid"] == owner["uid"]:
                return True
        return False
