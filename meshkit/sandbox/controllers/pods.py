"""Shared helpers for controllers that own pods: creation, deletion and selector lookup."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from meshkit.kube.selectors import holds
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    controlled_by,
    controller_of,
    is_terminating,
    key_of,
    owner_reference,
)

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient


CREATED_AT_ONCE = 500
"""The most pods that a controller creates before it looks again (replicaset.BurstReplicas)."""


class OwnedPods:
    """Creates and deletes the pods of one controller; ``source`` is the component in its Events."""

    def __init__(self, client: LocalClient, source: str) -> None:
        self._client, self._source = client, source

    async def create(self, owner: Object, count: int) -> ApiError | None:
        """Create pods from the owner's template, as ``create_all`` does."""
        return await self.create_all(owner, (from_template(owner) for _ in range(count)))

    async def create_all(self, owner: Object, pods: Iterable[Object]) -> ApiError | None:
        """Create the first ``CREATED_AT_ONCE`` pods concurrently; return the last refusal, if any.

        Their creation makes the controller look at the owner again, and it creates the next ones.
        """
        results = await asyncio.gather(
            *(self._client.create("pods", pod) for pod in islice(pods, CREATED_AT_ONCE)),
            return_exceptions=True,
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

    @property
    def keys(self) -> list[Key]:
        """Return the keys of all objects."""
        return list(self._of)

    def selecting(self, pod: Object) -> list[Key]:
        """Return the keys of the objects in the pod's namespace that select it."""
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels")
        return [key for key, selector in self._of.items() if key[0] == namespace and holds(selector, labels)]

    def concerning(self, kind: str) -> Callable[[Object], list[Key]]:
        """Return a function from a pod to the key of its controller, if that has the given kind.

        A pod without a controller concerns the objects that select it: they may adopt it.
        """
        of_owner = owner_key(kind)
        return lambda pod: self.selecting(pod) if controller_of(pod) is None else of_owner(pod)


async def claimed(
    client: LocalClient,
    owner: Object,
    *,
    among: Callable[[Object], bool] = lambda pod: True,
    may_adopt: Callable[[Object], bool] = lambda pod: True,
) -> list[Object]:
    """Adopt and release pods by the owner's selector; return those that the owner controls.

    A pod is adopted when it matches, has no controller, is not being deleted and ``may_adopt`` allows it.
    Pods that are not ``among`` those that count are left alone.
    """

    def concerned(pod: Object) -> bool:
        return among(pod) and (controller_of(pod) is None or controlled_by(pod, owner))

    mine = []
    for pod in await client.list("pods", owner["metadata"]["namespace"], where=concerned):
        fits = holds(owner["spec"]["selector"], pod["metadata"].get("labels"))
        owners = pod["metadata"].get("ownerReferences") or []
        is_mine = controlled_by(pod, owner)
        if fits and controller_of(pod) is None and not is_terminating(pod) and may_adopt(pod):
            is_mine = await _set_owners(client, pod, [*owners, owner_reference(owner)])
        elif is_mine and not fits:
            uid = owner["metadata"]["uid"]
            await _set_owners(client, pod, [each for each in owners if each["uid"] != uid])
            is_mine = False
        if is_mine:
            mine.append(pod)
    return mine


async def _set_owners(client: LocalClient, pod: Object, owners: Sequence[Object]) -> bool:
    """Replace the owners of a pod at the version that was read; return False when it no longer exists."""
    namespace, name = key_of(pod)
    seen = {"uid": pod["metadata"]["uid"], "resourceVersion": pod["metadata"]["resourceVersion"]}
    patch = {"metadata": {**seen, "ownerReferences": list(owners) or None}}
    try:
        await client.merge_patch("pods", name, namespace, patch)
    except ApiError as exc:
        if exc.code != 404:
            raise
        return False
    return True


def from_template(owner: Object, template: Object | None = None) -> Object:
    """Return a new pod of the owner's pod template, or of the given one, with a generated name."""
    template = copy.deepcopy(template if template is not None else owner["spec"]["template"])
    metadata = (template.get("metadata") or {}) | {
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def owner_key(kind: str) -> Callable[[Object], list[Key]]:
    """Return a function from an object to the key of its controller, if that has the given kind."""

    def key(obj: Object) -> list[Key]:
        owner = controller_of(obj)
        if owner is None or owner["kind"] != kind:
            return []
        return [(obj["metadata"]["namespace"], owner["name"])]

    return key
