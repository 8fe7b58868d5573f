"""Nobody gives away what he does not have: the rules of a role that is written, or bound, must be covered by
the writer's own.

Two verbs lift that: ``escalate`` on the role, ``bind`` on the role that a binding refers to. Exceptions and
sentences are those of Kubernetes (pkg/registry/rbac/validation, pkg/registry/rbac/*/policybased).
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
_LARGE = 2_000  # comparisons of a single right with a rule
_MAX_SINGLE = 10_000
_OF_THE_COLLECTOR = {"ownerReferences", "finalizers"}
_NOT_COMPARED = {"managedFields", "resourceVersion", "generation", *_OF_THE_COLLECTOR}


@dataclass(frozen=True)
class Grant:
    """What a role or binding would give, beside what its writer has."""

    admission: Admission
    held: Sequence[Rule]
    wanted: Sequence[Rule]

    @property
    def is_large(self) -> bool:
        """Whether the comparison takes so long that the event loop must not wait for it."""
        return sum(map(_count, self.wanted)) * len(self.held) > _LARGE

    def check(self) -> None:
        """Raise ApiError 403 when it is more than the writer has."""
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
    """What a write of a role or binding gives; None where nothing has to be compared."""
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
    """How many single rights a rule gives."""
    on_resources = (
        len(rule.get("apiGroups") or ())
        * len(rule.get("resources") or ())
        * max(1, len(rule.get("resourceNames") or ()))
    )
    return len(rule.get("verbs") or ()) * (on_resources + len(rule.get("nonResourceURLs") or ()))


def _covers_whole(held: Rule, rule: Rule) -> bool:
    """Whether one held rule gives everything that a rule on resources gives."""
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
    """What a role gives; one that gathers other roles' rules could come to give everything."""
    return _EVERYTHING if role.get("aggregationRule") else role.get("rules") or ()


def _bound(rights: Rights, admission: Admission) -> Sequence[Rule] | None:
    """What a binding gives; None where the writer may bind that role. Raises ApiError 404 where it is not
    there.
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
    """Whether an update changes nothing but what the garbage collector needs."""
    old, new = admission.old, admission.object
    if old is None:
        return False
    changed = any(old["metadata"].get(name) != new["metadata"].get(name) for name in _OF_THE_COLLECTOR)
    return changed and _compared(old) == _compared(new)


def _compared(obj: Mapping[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in obj["metadata"].items() if name not in _NOT_COMPARED}
    return {**obj, "metadata": meta}


def uncovered(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The wanted rights, one verb on one thing each, that no single held rule gives."""
    having = list(held)
    return [one for rule in wanted for one in _single(rule) if not any(_covers(rule, one) for rule in having)]


def _single(rule: Rule) -> Iterator[Rule]:
    """A rule as rules of one verb, on one resource of one group or on one URL."""
    for verb in rule.get("verbs") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                one = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                yield from ({**one, "resourceNames": [name]} for name in names)
                if not names:
                    yield one
        for url in rule.get("nonResourceURLs") or ():
            yield {"nonResourceURLs": [url], "verbs": [verb]}


def _covers(held: Rule, one: Rule) -> bool:
    (verb,) = one["verbs"]
    if {"*", verb}.isdisjoint(held.get("verbs") or ()):
        return False
    if "nonResourceURLs" in one:
        (url,) = one["nonResourceURLs"]
        return any(_matches(each, url) for each in held.get("nonResourceURLs") or ())
    (group,), (resource,) = one["apiGroups"], one["resources"]
    name, slash, part = resource.partition("/")
    names = held.get("resourceNames")
    return (
        not {"*", group}.isdisjoint(held.get("apiGroups") or ())
        and not {"*", resource, *([f"*/{part}"] if slash and name else [])}.isdisjoint(
            held.get("resources") or ()
        )
        and (not names or set(one.get("resourceNames") or [""]) <= set(names))
    )


def _matches(held: str, url: str) -> bool:
    return held in ("*", url) or (held.endswith("*") and url.startswith(held.rstrip("*")))


def _joined(rules: Iterable[Rule]) -> list[Rule]:
    """The same rights with the verbs on one thing together."""
    found: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for rule in rules:
        place = tuple(tuple(rule.get(name) or ()) for name in _FIELDS[:-1])
        verbs = found.setdefault(place, [])
        verbs += [verb for verb in rule["verbs"] if verb not in verbs]
    return [dict(zip(_FIELDS, (*place, verbs), strict=True)) for place, verbs in found.items()]


def _written(rule: Rule) -> str:
    """``{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}``."""
    parts = []
    for name in _FIELDS:
        if rule.get(name):
            title = "APIGroups" if name == "apiGroups" else name[0].upper() + name[1:]
            parts.append(f"{title}:[{' '.join(json.dumps(each) for each in rule[name])}]")
    return f"{{{', '.join(parts)}}}"
