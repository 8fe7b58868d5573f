"""Prevent privilege escalation through roles and bindings.

A user may only write or bind a role whose rules the user's own rules cover.

Two verbs lift this restriction: ``escalate`` on the role, and ``bind`` on the role that a binding refers to.
Exceptions and messages match Kubernetes (pkg/registry/rbac/validation, pkg/registry/rbac/*/policybased).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.api import status
from meshkit.sandbox.api.auth.rights import GROUP, Attempt, Rights
from meshkit.sandbox.api.auth.users import MASTERS
from meshkit.sandbox.api.requests import Admission, Object

Rule = Mapping[str, Any]
_EVERYTHING: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
_FIELDS = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")
_LARGE = 2_000  # comparisons of a single permission with a rule
_MAX_SINGLE = 10_000
_OF_THE_COLLECTOR = {"ownerReferences", "finalizers"}
_NOT_COMPARED = {"managedFields", "resourceVersion", "generation", *_OF_THE_COLLECTOR}


@dataclass(frozen=True)
class Grant:
    """Compare the rules that a role or binding grants with the rules that its writer holds."""

    admission: Admission
    held: Sequence[Rule]
    wanted: Sequence[Rule]

    @property
    def is_large(self) -> bool:
        """Return whether the comparison is too slow to run on the event loop."""
        return sum(map(_count, self.wanted)) * len(self.held) > _LARGE

    def check(self) -> None:
        """Raise ApiError 403 when the granted rules exceed the writer's own."""
        not_whole = [rule for rule in self.wanted if not any(_covers_whole(held, rule) for held in self.held)]
        if not not_whole:
            return
        target, user = self.admission.target, self.admission.options.user
        if sum(map(_count, not_whole)) > _MAX_SINGLE:
            raise target.forbidden(
                f"user {json.dumps(user.name)} is attempting to grant more than {_MAX_SINGLE} single RBAC "
                "permissions that no rule of the user covers as a whole"
            )
        missing = uncovered(self.held, not_whole)
        if missing:
            groups = " ".join(json.dumps(group) for group in user.groups)
            listed = "\n".join(sorted({_written(rule) for rule in _joined(missing)}))
            raise target.forbidden(
                f"user {json.dumps(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions "
                f"not currently held:\n{listed}"
            )


def granted(rights: Rights, admission: Admission) -> Grant | None:
    """Return what a write of a role or binding grants, or None when no check is needed."""
    target, user = admission.target, admission.options.user
    if target.resource.group != GROUP or MASTERS in user.groups or _only_collected(admission):
        return None
    new = admission.object
    if "roleRef" in new:
        rules = _bound(rights, admission)
    else:
        attempt = Attempt("escalate", GROUP, target.resource.plural, target.namespace, target.name)
        rules = None if rights.allows(user, attempt) else _granted(new)
    if rules is None:
        return None
    return Grant(admission, rights.all_of(user, target.namespace), rules)


def _count(rule: Rule) -> int:
    """Return how many single permissions a rule grants."""
    on_resources = (
        len(rule.get("apiGroups") or ())
        * len(rule.get("resources") or ())
        * max(1, len(rule.get("resourceNames") or ()))
    )
    return len(rule.get("verbs") or ()) * (on_resources + len(rule.get("nonResourceURLs") or ()))


def _covers_whole(held: Rule, rule: Rule) -> bool:
    """Return whether one held rule covers a whole resource rule."""
    if rule.get("nonResourceURLs"):
        return False
    resources = set(held.get("resources") or ())
    names = held.get("resourceNames")
    return (
        _includes(held.get("verbs"), rule.get("verbs"))
        and _includes(held.get("apiGroups"), rule.get("apiGroups"))
        and ("*" in resources or set(rule.get("resources") or ()) <= resources)
        and (not names or set(rule.get("resourceNames") or [""]) <= set(names))
    )


def _includes(held: Sequence[str] | None, wanted: Sequence[str] | None) -> bool:
    return "*" in (held or ()) or set(wanted or ()) <= set(held or ())


def _granted(role: Object) -> Sequence[Rule]:
    """Return the rules of a role; an aggregated role may come to grant everything."""
    return _EVERYTHING if role.get("aggregationRule") else role.get("rules") or ()


def _bound(rights: Rights, admission: Admission) -> Sequence[Rule] | None:
    """Return the rules that a binding grants, or None when the writer may bind the role.

    Raises ApiError 404 when the role does not exist.
    """
    reference, namespace = admission.object["roleRef"], admission.target.namespace
    plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
    attempt = Attempt("bind", GROUP, plural, namespace, reference["name"])
    if rights.allows(admission.options.user, attempt):
        return None
    role = rights.role(reference, namespace)
    if role is None:
        raise status.not_found(plural, GROUP, reference["name"])
    return role.get("rules") or ()


def _only_collected(admission: Admission) -> bool:
    """Return whether an update changes only the fields of the garbage collector."""
    old, new = admission.old, admission.object
    if old is None:
        return False
    changed = any(old["metadata"].get(name) != new["metadata"].get(name) for name in _OF_THE_COLLECTOR)
    return changed and _compared(old) == _compared(new)


def _compared(obj: Mapping[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in obj["metadata"].items() if name not in _NOT_COMPARED}
    return {**obj, "metadata": meta}


def uncovered(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Return the wanted permissions, one verb on one object each, that no held rule covers."""
    having = list(held)
    return [
        permission
        for rule in wanted
        for permission in _single(rule)
        if not any(_covers(rule, permission) for rule in having)
    ]


def _single(rule: Rule) -> Iterator[Rule]:
    """Split a rule into rules of one verb on one resource of one group or on one URL."""
    for verb in rule.get("verbs") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                permission = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                yield from ({**permission, "resourceNames": [name]} for name in names)
                if not names:
                    yield permission
        for url in rule.get("nonResourceURLs") or ():
            yield {"nonResourceURLs": [url], "verbs": [verb]}


def _covers(held: Rule, permission: Rule) -> bool:
    (verb,) = permission["verbs"]
    if {"*", verb}.isdisjoint(held.get("verbs") or ()):
        return False
    if "nonResourceURLs" in permission:
        (url,) = permission["nonResourceURLs"]
        return any(_matches(pattern, url) for pattern in held.get("nonResourceURLs") or ())
    (group,), (resource,) = permission["apiGroups"], permission["resources"]
    name, slash, part = resource.partition("/")
    names = held.get("resourceNames")
    return (
        not {"*", group}.isdisjoint(held.get("apiGroups") or ())
        and not {"*", resource, *([f"*/{part}"] if slash and name else [])}.isdisjoint(
            held.get("resources") or ()
        )
        and (not names or set(permission.get("resourceNames") or [""]) <= set(names))
    )


def _matches(held: str, url: str) -> bool:
    return held in ("*", url) or (held.endswith("*") and url.startswith(held.rstrip("*")))


def _joined(rules: Iterable[Rule]) -> list[Rule]:
    """Merge rules on the same objects by joining their verbs."""
    verbs_by_object: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for rule in rules:
        object_fields = tuple(tuple(rule.get(name) or ()) for name in _FIELDS[:-1])
        verbs = verbs_by_object.setdefault(object_fields, [])
        verbs += [verb for verb in rule["verbs"] if verb not in verbs]
    return [
        dict(zip(_FIELDS, (*object_fields, verbs), strict=True))
        for object_fields, verbs in verbs_by_object.items()
    ]


def _written(rule: Rule) -> str:
    """Return a rule in Go's format, such as ``{APIGroups:[""], Resources:["pods"], Verbs:["get"]}``."""
    parts = []
    for name in _FIELDS:
        if rule.get(name):
            title = "APIGroups" if name == "apiGroups" else name[0].upper() + name[1:]
            parts.append(f"{title}:[{' '.join(json.dumps(value) for value in rule[name])}]")
    return f"{{{', '.join(parts)}}}"
