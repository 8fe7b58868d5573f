"""Write path of the API server, through decoding, admission, validation and field ownership to the store.

HTTP requests and in-process callers both enter here, so that controllers and kubectl follow the same rules.
Concurrency control is optimistic: the store rejects a write when the object has changed since it was read.
Patches and applies are then recomputed, as in Kubernetes.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from meshkit.sandbox.api import lastapplied, offload, status
from meshkit.sandbox.api.admission import chain, notices, quotas
from meshkit.sandbox.api.http import negotiation
from meshkit.sandbox.api.requests import (
    Admission,
    Admit,
    DeleteOptions,
    Object,
    Options,
    PatchType,
    Target,
    now,
)
from meshkit.sandbox.api.schema import bodies, validation
from meshkit.sandbox.api.schema.decoding import decoded_config, decoded_patch, decoded_whole
from meshkit.sandbox.api.schema.registry import CRDS, Registry, Resource
from meshkit.sandbox.api.storage import deletion, fieldset, ownership, server_fields
from meshkit.sandbox.api.storage.ownership import Owners
from meshkit.sandbox.api.storage.store import Exists, Key, Missing, Stale, Store, Stored

_RETRIES = 5
_MANY_OPERATIONS = 100  # of a JSON patch; each operation traverses the object
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of k8s.io/apimachinery util/rand: no vowels, no look-alikes
_UNDELETABLE = ("default", "kube-system")


class Writes:
    """Create, update, apply and delete objects."""

    def __init__(self, store: Store, registry: Registry, admit: Admit) -> None:
        self.store = store
        self.registry = registry
        self._admit = admit
        for stored in store.objects(CRDS):
            registry.define(stored.object)

    # --- create

    async def create(self, target: Target, obj: Object, options: Options) -> Object:
        """Create an object; ``target.name`` may be empty."""
        new = await offload.run(options.large, decoded_whole, target, obj, options)
        target = self._named(target, new)
        self._require_active_namespace(target)
        resource = target.resource
        server_fields.remove(resource, new)
        server_fields.begin(resource, new)
        new = await self._admitted(Admission("CREATE", target, new, None, options), large=options.large)
        owners = await offload.run(
            options.large, ownership.updated, None, new, target.endpoint, options.manager, now()
        )
        await offload.run(options.large, self._own, new, owners)
        return await self._added(target, new, options)

    async def _added(self, target: Target, new: Object, options: Options) -> Object:
        options.warnings.extend(await offload.run(options.large, _notices, target.resource, new))
        self._require_active_namespace(target)  # checked again, because webhooks may be slow
        self._check_quotas(target, new, None)
        if options.dry_run:
            if self.store.get(target.key) is not None:
                raise status.already_exists(target.resource.plural, target.resource.group, target.name)
            return new
        try:
            stored = self.store.create(target.key, new)
        except Exists as error:
            raise status.already_exists(target.resource.plural, target.resource.group, target.name) from error
        self._defined(target.resource, stored.object)
        return stored.object

    def _named(self, target: Target, obj: Object) -> Target:
        metadata = obj["metadata"]
        prefix = metadata.get("generateName")
        if not metadata.get("name"):
            if not prefix:
                raise status.invalid(
                    target.resource.kind,
                    target.resource.group,
                    "",
                    [status.required("metadata.name", "Required value: name or generateName is required")],
                )
            metadata["name"] = self._generated(target, prefix)
        if target.name and metadata["name"] != target.name:
            raise status.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL "
                f"({target.name})"
            )
        return replace(target, name=metadata["name"])

    def _generated(self, target: Target, prefix: str) -> str:
        while True:
            name = prefix[:58] + "".join(secrets.choice(_NAME_LETTERS) for _ in range(5))
            if self.store.get(replace(target, name=name).key) is None:
                return name

    def _require_active_namespace(self, target: Target) -> None:
        if not target.resource.namespaced:
            return
        namespace = self.store.get(Key("namespaces", "", target.namespace))
        if namespace is None:
            raise status.not_found("namespaces", "", target.namespace)
        if "deletionTimestamp" in namespace.object["metadata"]:
            why = (
                f"unable to create new content in namespace {target.namespace} because it is being terminated"
            )
            cause = status.Cause(
                "metadata.namespace",
                "NamespaceTerminating",
                f"namespace {target.namespace} is being terminated",
            )
            raise status.forbidden(target.resource.plural, target.resource.group, target.name, why, [cause])

    def _check_quotas(self, target: Target, new: Object, old: Mapping[str, Any] | None) -> None:
        """Raise ApiError 403 when a quota rejects the write.

        The caller must not await anything between this check and the write.
        """
        if target.resource.namespaced and not target.subresource:
            refusal = quotas.refusal(self.store, target.namespace, target.resource.key, new, old)
            if refusal:
                raise target.forbidden(refusal)

    # --- update

    async def replace(self, target: Target, obj: Object, options: Options) -> Object:
        """Replace the whole object (PUT), at the resourceVersion that it names, if any."""

        async def attempt() -> Object:
            old = self._present(target)
            new = await offload.run(options.large, decoded_whole, target, obj, options)
            self._named(target, new)
            return await self._save(target, old, new, options)

        return await self._retried(target, attempt)

    async def patch(self, target: Target, kind: PatchType, patch: Any, options: Options) -> Object:
        """Apply a patch of one of the three patch types (PATCH)."""
        if kind == "strategic" and target.resource.custom:
            raise negotiation.unsupported_patch(custom=True)

        async def attempt() -> Object:
            old = self._present(target)
            large = options.large or bodies.is_large(old.body) or _has_many_operations(patch)
            new = await offload.run(large, decoded_patch, target, kind, old.object, patch, options)
            self._named(target, new)
            return await self._save(target, old, new, options)

        return await self._retried(target, attempt)

    async def _retried(self, target: Target, attempt: Callable[[], Awaitable[Object]]) -> Object:
        for _ in range(_RETRIES):
            try:
                return await attempt()
            except Stale:
                continue
        raise target.conflict()

    def _present(self, target: Target) -> Stored:
        stored = self.store.get(target.key)
        if stored is None:
            raise target.not_found()
        return stored

    async def _save(
        self, target: Target, old: Stored, new: Object, options: Options, owners: Owners | None = None
    ) -> Object:
        """Store a new version of an object. Raises Stale when the object has changed since it was read."""
        before = old.object
        large = options.large or bodies.is_large(old.body)
        self._preconditions(target, before, new["metadata"])
        new = await offload.run(large, server_fields.carried_over, target, before, new)
        new = await self._admitted(Admission("UPDATE", target, new, before, options), large=large)
        server_fields.count_generation(target.resource, before, new)
        if owners is None:
            owners = await offload.run(
                large, ownership.updated, before, new, target.endpoint, options.manager, now()
            )
        await offload.run(large, self._own, new, owners)
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if await offload.run(large, server_fields.is_unchanged, before, new):
            return before
        options.warnings.extend(await offload.run(large, _notices, target.resource, new))
        self._check_quotas(target, new, before)
        if options.dry_run:
            return new
        try:
            if "deletionTimestamp" in new["metadata"] and deletion.may_go(target.resource, new):
                return self.store.delete(target.key, old.rv).object
            stored = self.store.update(target.key, new, old.rv)
        except Missing as error:
            raise target.not_found() from error
        self._defined(target.resource, stored.object)
        return stored.object

    def _preconditions(self, target: Target, before: Mapping[str, Any], metadata: Object) -> None:
        present = before["metadata"]
        if metadata.get("uid") and metadata["uid"] != present["uid"]:
            raise target.conflict(
                f"Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {present['uid']}"
            )
        if _pinned(metadata) and metadata["resourceVersion"] != present["resourceVersion"]:
            raise target.conflict()

    # --- apply

    async def apply(self, target: Target, config: Object, options: Options) -> tuple[Object, bool]:
        """Apply a configuration server-side. Returns the object and whether it was created."""
        sent = config
        config = await offload.run(options.large, decoded_config, target, config, options)
        config["metadata"].pop("creationTimestamp", None)
        is_named = bool(config["metadata"].get("name"))
        config["metadata"].setdefault("name", target.name)
        self._named(target, config)
        created = False

        async def attempt() -> Object:
            nonlocal created
            old = self.store.get(target.key)
            created = old is None
            if old is None:
                if not is_named:
                    raise status.bad_request(
                        f"the name of the object ({target.name} based on URL) was undeterminable: name must "
                        "be provided"
                    )
                return await self._created_by_apply(target, config, sent, options)
            self._preconditions(target, old.object, config["metadata"])
            if target.resource.custom and config["metadata"].get("resourceVersion") == "0":
                why = "must be specified for an update"
                cause = status.Cause(
                    "metadata.resourceVersion", "FieldValueInvalid", f"Invalid value: 0: {why}"
                )
                raise status.invalid(target.resource.plural, target.resource.group, target.name, [cause])
            applied = await offload.run(
                options.large or bodies.is_large(old.body),
                self._merged,
                target,
                old.object,
                config,
                sent,
                options,
            )
            return await self._save(target, old, applied.object, options, applied.owners)

        return await self._retried(target, attempt), created

    def _merged(
        self, target: Target, before: Mapping[str, Any], config: Object, sent: Object, options: Options
    ) -> ownership.Applied:
        forced = lastapplied.unchanged_since(before, target.endpoint, options.manager)
        applied = ownership.apply(
            before, config, target.endpoint, options.manager, now(), force=options.force, forced=forced
        )
        fieldset.null_emptied(target.resource.schema, before, applied.object)
        if not target.resource.custom:
            validation.drop_nulls(target.resource.schema, applied.object)
        if not target.subresource:
            lastapplied.refresh(applied.object, sent, options.manager)
        return applied

    async def _created_by_apply(
        self, target: Target, config: Object, sent: Object, options: Options
    ) -> Object:
        if target.subresource:
            raise target.not_found()
        if config["metadata"].get("uid"):
            raise target.conflict()
        self._require_active_namespace(target)
        applied = await offload.run(
            options.large,
            ownership.apply,
            None,
            config,
            target.endpoint,
            options.manager,
            now(),
            force=options.force,
        )
        new = applied.object
        lastapplied.refresh(new, sent, options.manager)
        server_fields.begin(target.resource, new)
        new = await self._admitted(Admission("CREATE", target, new, None, options), large=options.large)
        await offload.run(options.large, self._own, new, applied.owners)
        return await self._added(target, new, options)

    # --- delete

    async def delete(self, target: Target, delete: DeleteOptions, options: Options) -> tuple[Object, bool]:
        """Delete an object or mark it as being deleted. Returns its last state and whether it is removed."""
        old = self._present(target)
        wanted = {"uid": delete.uid, "resourceVersion": delete.resource_version}
        self._preconditions(target, old.object, wanted)
        if target.resource.key == "namespaces" and target.name in _UNDELETABLE:
            raise target.forbidden("this namespace may not be deleted")
        new = deletion.marked(target.resource, old.object, delete)
        is_removed = deletion.may_go(target.resource, new)
        if options.dry_run:
            return new, is_removed
        if is_removed:
            return self._removed(target, old), True
        if new == old.object:
            return old.object, False
        return self.store.update(target.key, new, old.rv).object, False

    def _removed(self, target: Target, old: Stored) -> Object:
        if target.resource.key == CRDS:
            self._remove_instances(old.object)
        return self.store.delete(target.key, old.rv).object

    def _remove_instances(self, crd: Mapping[str, Any]) -> None:
        """Delete the objects of a CustomResourceDefinition that is deleted."""
        resource = f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
        for stored in self.store.objects(resource):
            self.store.delete(stored.key, stored.rv)
        self.registry.forget(crd)
        self.store.end_subscriptions(resource)

    def finalize_namespace(self, name: str) -> None:
        """Remove an empty namespace that is being terminated."""
        key = Key("namespaces", "", name)
        stored = self.store.get(key)
        if stored is not None and "deletionTimestamp" in stored.object["metadata"]:
            self.store.delete(key, stored.rv)

    # --- steps shared by all

    async def _admitted(self, admission: Admission, *, large: bool) -> Object:
        return await chain.admitted(self.store, self._admit, admission, large=large)

    def _own(self, new: Object, owners: Owners) -> None:
        new["metadata"].setdefault("managedFields", [])
        ownership.write_owners(new, owners)

    def _defined(self, resource: Resource, obj: Object) -> None:
        """Register the resource when the object is a CustomResourceDefinition."""
        if resource.key == CRDS:
            self.registry.define(obj)
            self.store.end_subscriptions(f"{obj['spec']['names']['plural']}.{obj['spec']['group']}")


def _pinned(metadata: Object) -> bool:
    """Return whether the metadata names a resourceVersion; ``0`` stands for any."""
    return metadata.get("resourceVersion") not in (None, "", "0")


def _notices(resource: Resource, new: Object) -> list[str]:
    return list(notices.of(resource, new))


def _has_many_operations(patch: Any) -> bool:
    return isinstance(patch, list) and len(patch) > _MANY_OPERATIONS
