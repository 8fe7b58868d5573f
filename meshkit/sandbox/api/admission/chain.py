"""Admission chain of every write, from defaults and webhooks to validation, RBAC escalation and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshkit.sandbox.api import offload, podrules, status
from meshkit.sandbox.api.admission import limits
from meshkit.sandbox.api.auth import escalation
from meshkit.sandbox.api.auth.rights import Rights
from meshkit.sandbox.api.auth.users import is_node
from meshkit.sandbox.api.requests import Admission, Admit, Object
from meshkit.sandbox.api.schema import bodies, defaults, rules, validation
from meshkit.sandbox.api.schema import cel_rules as celrules
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage.store import Store

_IDENTITY = ("name", "namespace", "uid")
"""Metadata that webhooks cannot change, because the store, directories and tokens are keyed by it."""


async def admitted(store: Store, admit: Admit, admission: Admission, *, large: bool) -> Object:
    """Return the object as it may be stored, or raise ApiError.

    ``large`` runs the work on the object in threads.
    """
    target = admission.target
    resource = target.resource
    new = admission.object
    is_new_pod = resource.key == "pods" and admission.operation == "CREATE"
    await offload.run(large, _prepare, resource, new)
    if is_new_pod:
        limits.fill(store, target.namespace, new)
    if not target.subresource:
        identity = {name: new["metadata"].get(name) for name in _IDENTITY if name in new["metadata"]}
        new = await admit.mutate(admission)
        await offload.run(large, _prepare_again, resource, new, identity)
    if is_new_pod:
        limits.fill(store, target.namespace, new)  # for containers that a webhook added
    if large:
        await offload.run(large, bodies.check_object, new)
    causes = await offload.run(
        large or not celrules.is_compiled(resource),
        rules.all_causes,
        resource,
        new,
        admission.old,
        target.subresource,
    )
    if resource.key == "pods" and target.subresource == "status" and not is_node(admission.options.user):
        causes = [*causes, *podrules.address_causes(new, admission.old)]
    if causes:
        raise status.invalid(resource.kind, resource.group, target.name, causes)
    grant = escalation.granted(Rights(store), replace(admission, object=new))
    if grant is not None:
        await offload.run(grant.is_large, grant.check)
    if is_new_pod and (broken := limits.broken(store, target.namespace, new)):
        raise target.forbidden(broken)
    if not target.subresource:
        await admit.validate(replace(admission, object=new))
    return new


def _prepare(resource: Resource, new: Object) -> None:
    validation.drop_empty(resource, new)
    _complete(resource, new)


def _prepare_again(resource: Resource, new: Object, identity: Mapping[str, Any]) -> None:
    """Prune the object and set its defaults again after webhooks changed it."""
    validation.prune(resource.schema, new)
    new["metadata"] |= identity
    _complete(resource, new)


def _complete(resource: Resource, new: Object) -> None:
    if not resource.custom and "spec" in resource.schema["properties"]:
        new.setdefault("spec", {})  # a struct in Go, which is never absent
    defaults.fill(resource.key, new)
    validation.fill_defaults(resource.schema, new)
