"""Shared helpers for controllers that own pods: creation, deletion and selector lookup."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.kube.selectors import holds
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, key_of, owner_reference

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient


class OwnedPods:
    """Creates and deletes the pods of one controller; ``source`` is the component in its Events."""

    def __init__(self, client: LocalClient, source: str) -> None:
        self._client, self._source = client, source

    async def create(self, owner: Object, count: int) -> ApiError | None:
        """Create pods from the owner's template concurrently; return the last refusal, if any."""
        pod = _from_template(owner)
        results = await asyncio.gather(
            *(self._client.create("pods", copy.deepcopy(pod)) for _ in range(count)), return_exceptions=True
        )
        refusal = None
        for result in results:
            if isinstance(result, ApiError):
                refusal = result
            elif isinstance(result, BaseException):
                raise result
            else:
                text = f"Created pod: {result['metadata']['name']}"
                await self._client.record_event(owner, "SuccessfulCreate", text, source=self._source)
        if refusal is not None:
            text = f"Error creating: {refusal.message}"
            await self._client.record_event(owner, "FailedCreate", text, type="Warning", source=self._source)
        return refusal

    async def delete(self, owner: Object, pods: Iterable[Object]) -> None:
        """Delete pods and record an Event on the owner for each of them."""
        for pod in pods:
            namespace, name = key_of(pod)
            await self._client.delete("pods", name, namespace)
            text = f"Deleted pod: {name}"
            await self._client.record_event(owner, "SuccessfulDelete", text, source=self._source)


class Selectors:
    """Indexes the selectors of one kind of object to find the objects that select a pod."""

    def __init__(self) -> None:
        self._of: dict[Key, Mapping[str, object] | None] = {}

    def keep(self, obj: Object) -> list[Key]:
        """Store an object's selector; return the object's key."""
        self._of[key_of(obj)] = obj["spec"].get("selector")
        return [key_of(obj)]

    def forget(self, key: Key) -> None:
        """Remove the selector of a deleted object."""
        self._of.pop(key, None)

    def selecting(self, pod: Object) -> list[Key]:
        """Return the keys of the objects in the pod's namespace that select it."""
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels")
        return [key for key, selector in self._of.items() if key[0] == namespace and holds(selector, labels)]


def _from_template(owner: Object) -> Object:
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = (template.get("metadata") or {}) | {
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
