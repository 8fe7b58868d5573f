"""In-process client of the API server, for controllers, the node agent and tests.

Writes pass the same steps as HTTPS requests, but RBAC is not checked. Returned objects are copies, so the
caller may change them.
"""

from __future__ import annotations

import builtins
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from meshkit.sandbox.api import status
from meshkit.sandbox.api.admission import quotas
from meshkit.sandbox.api.auth.users import SYSTEM, Tokens, User
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.requests import DeleteOptions, Object, Options, Target, now
from meshkit.sandbox.api.schema import rules
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage.store import ChangeType, Key, Stored
from meshkit.sandbox.api.storage.writes import Writes


@dataclass(frozen=True)
class Event:
    """Represent one event of a watch."""

    type: ChangeType
    object: Object


class LocalClient:
    """Read and write objects as ``user``, with ``manager`` as the field manager."""

    def __init__(self, writes: Writes, tokens: Tokens, user: User = SYSTEM, manager: str = "") -> None:
        self._writes = writes
        self._store = writes.store
        self._tokens = tokens
        self._user = user
        self._manager = manager or user.name.rpartition(":")[2]

    def acting_as(self, user: str) -> LocalClient:
        """Return a client of the same server with another user and field manager.

        For example ``system:node:sandbox-a`` or ``deployment-controller``.
        """
        return LocalClient(self._writes, self._tokens, User(user, SYSTEM.groups))

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None when it does not exist."""
        stored = self._store.get(self._target(resource, namespace, name).key)
        return _copy(stored) if stored else None

    async def list(
        self,
        resource: str,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        where: Callable[[Object], bool] = lambda obj: True,
    ) -> builtins.list[Object]:
        """Return every object of a resource, optionally filtered by namespace, labels and ``where``.

        ``where`` reads the stored object, so that only what is wanted is copied.
        """
        wanted = (labels or {}).items()
        return [
            _copy(stored)
            for stored in self._store.objects(self._resource(resource).key, namespace)
            if wanted <= (stored.object["metadata"].get("labels") or {}).items() and where(stored.object)
        ]

    async def list_metadata(self, resource: str) -> builtins.list[Object]:
        """Return only the ``metadata`` of every object of a resource, and that without ``managedFields``.

        Definitions and Helm's Secrets are large, so copies of whole objects take a hundred times as long.
        """
        return [
            {
                "metadata": {
                    name: copied(value)
                    for name, value in stored.object["metadata"].items()
                    if name != "managedFields"
                }
            }
            for stored in self._store.objects(self._resource(resource).key)
        ]

    async def create(self, resource: str, obj: Object) -> Object:
        """Create an object. Raises ApiError 409 when the name is taken."""
        metadata = obj.get("metadata", {})
        target = self._target(resource, metadata.get("namespace"), "")
        return _json_copy(await self._writes.create(target, obj, self._options()))

    async def update(self, resource: str, obj: Object) -> Object:
        """Replace an object, except for its status.

        Raises ApiError 409 unless the object is still at its resourceVersion.
        """
        metadata = obj["metadata"]
        target = self._target(resource, metadata.get("namespace"), metadata["name"])
        return _json_copy(await self._writes.replace(target, obj, self._options()))

    async def update_status(
        self, resource: str, name: str, namespace: str | None, status: Object, *, seen: str = ""
    ) -> Object:
        """Replace the status of an object; an identical status changes nothing.

        With ``seen``, raises ApiError 409 unless the object is still at that resourceVersion.
        """
        target = self._target(resource, namespace, name, "status")
        stored = self._store.get(target.key)
        if not seen and stored is not None and stored.object.get("status") == status:
            return _copy(stored)
        patch: builtins.list[Object] = [{"op": "add", "path": "/status", "value": status}]
        if seen:
            patch.append({"op": "add", "path": "/metadata/resourceVersion", "value": seen})
        return _json_copy(await self._writes.patch(target, "json", patch, self._options()))

    async def merge_patch(self, resource: str, name: str, namespace: str | None, patch: Object) -> Object:
        """Apply a merge patch to an object; null removes a field."""
        target = self._target(resource, namespace, name)
        return _json_copy(await self._writes.patch(target, "merge", patch, self._options()))

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_period_s: int | None = None,
        propagation: str | None = None,
    ) -> None:
        """Delete an object; a missing object is not an error.

        ``grace_period_s=0`` deletes a pod immediately; ``propagation="Foreground"`` deletes its dependents
        first.
        """
        target = self._target(resource, namespace, name)
        try:
            await self._writes.delete(target, DeleteOptions(grace_period_s, propagation), self._options())
        except status.ApiError as error:
            if error.code != 404:
                raise

    async def finalize_namespace(self, name: str) -> None:
        """Remove an empty namespace that is being terminated."""
        self._writes.finalize_namespace(name)

    def quota_usage(self, quota: Object) -> dict[str, str]:
        """Return the namespace's current usage of each resource that a ResourceQuota limits."""
        return {name: str(amount) for name, amount in quotas.used(self._store, quota).items()}

    def keys_in(self, namespace: str) -> builtins.list[tuple[str, str]]:
        """Return (resource, name) of every object in a namespace."""
        return [(key.resource, key.name) for key in self._store.resources_in(namespace)]

    def resource_of(self, api_version: str, kind: str) -> str | None:
        """Return the resource that serves a kind, for following ownerReferences.

        For example ``replicasets.apps`` for ``("apps/v1", "ReplicaSet")``.
        """
        resource = self._writes.registry.by_kind(api_version, kind)
        return resource.key if resource else None

    def served_versions(self) -> builtins.list[tuple[str, str, bool]]:
        """Return (group, version, whether it is of custom resources) of everything that is served."""
        return sorted({(each.group, each.version, each.custom) for each in self._writes.registry})

    def resources(self) -> builtins.list[str]:
        """Return every resource that can be listed, including those of CustomResourceDefinitions."""
        return sorted({resource.key for resource in self._writes.registry if "list" in resource.verbs})

    def causes(self, resource: str, obj: Object) -> builtins.list[status.Cause]:
        """Return the validation errors of an object, ignoring its status, as a write would report them."""
        without = {name: value for name, value in obj.items() if name != "status"}
        return rules.causes(self._resource(resource), without)

    async def watch(self, resource: str) -> AsyncIterator[Event]:
        """Yield every object as ADDED and then every change, without end.

        A reader that falls behind starts again with ADDED events.
        """
        key = self._resource(resource).key
        while True:
            subscription = self._store.subscribe(key)
            try:
                for stored in self._store.objects(key):
                    yield Event("ADDED", _copy(stored))
                while (change := await subscription.next()) is not None:
                    yield Event(change.type, _copy(change.now))
            finally:
                self._store.unsubscribe(key, subscription)
            if self._store.closed:
                return

    async def record_event(
        self, involved: Object, reason: str, message: str, *, type: str = "Normal", source: str
    ) -> None:
        """Record an Event about an object; a repeated event increments its count."""
        metadata = involved["metadata"]
        namespace = metadata.get("namespace") or "default"
        digest = hashlib.sha256(f"{metadata.get('uid')}{reason}{message}{type}{source}".encode()).hexdigest()[
            :16
        ]
        name = f"{metadata['name']}.{digest}"
        seen = self._store.get(Key("events", namespace, name))
        if seen is not None:
            again = {"count": seen.object.get("count", 1) + 1, "lastTimestamp": now()}
            await self.merge_patch("events", name, namespace, again)
            return
        reference = {
            "apiVersion": involved.get("apiVersion", "v1"),
            "kind": involved.get("kind", ""),
            "name": metadata["name"],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        event = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "type": type,
            "source": {"component": source},
            "reportingComponent": source,
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
        }
        try:
            await self.create("events", event)
        except status.ApiError as error:
            # The namespace is terminating or deleted, so the event could not be read.
            if error.code not in (403, 404):
                raise

    async def token(
        self, namespace: str, account: str, lifetime_s: int, pod: Mapping[str, str] | None = None
    ) -> str:
        """Issue a bearer token for a ServiceAccount.

        The token is bound to ``pod`` ({name, uid}) when one is given. Raises ApiError 404.
        """
        target = self._target("serviceaccounts", namespace, account)
        stored = self._store.get(target.key)
        if stored is None:
            raise target.not_found()
        return self._tokens.issue(namespace, account, stored.object["metadata"]["uid"], lifetime_s, pod)

    def _options(self) -> Options:
        return Options(self._user, self._manager, field_validation="Strict")

    def _resource(self, resource: str) -> Resource:
        served = self._writes.registry.by_key(resource)
        if served is None:
            raise status.no_such_path()
        return served

    def _target(self, resource: str, namespace: str | None, name: str, subresource: str = "") -> Target:
        served = self._resource(resource)
        return Target(served, (namespace or "default") if served.namespaced else "", name, subresource)


def _copy(stored: Stored) -> Object:
    copied: Object = json.loads(stored.body)
    return copied


def _json_copy(obj: Object) -> Object:
    copied: Object = json.loads(json.dumps(obj))
    return copied
