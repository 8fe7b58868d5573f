"""What a verb needs to be allowed, asked of the API server before the first change."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from meshkit.cluster.api import Api
from meshkit.cluster.journal import NAMESPACE
from meshkit.errors import Forbidden
from meshkit.facts import Kind
from meshkit.planners.steps import Step

_THREADS = 8


class Right(NamedTuple):
    """A verb on a resource (``pods``, ``pods/proxy``), in one namespace or (None) in the cluster."""

    verb: str
    group: str
    resource: str
    namespace: str | None = None


def of_journal(api: Api) -> set[Right]:
    """What writing down a change takes: its records, dropping old ones, and once its namespace."""
    verbs = ("get", "list", "create", "patch", "delete")
    rights = {Right(verb, "", "configmaps", NAMESPACE) for verb in verbs}
    namespace = Kind("v1", "Namespace")
    needed = Right("get", "", "namespaces", NAMESPACE)
    if api.allowed(*needed) and api.get(namespace, NAMESPACE) is not None:
        return rights
    return rights | {needed, Right("create", "", "namespaces"), Right("patch", "", "namespaces")}


def of_lock() -> set[Right]:
    """What being the only writer takes."""
    verbs = ("get", "create", "patch")
    return {Right(verb, "coordination.k8s.io", "leases", NAMESPACE) for verb in verbs}


def of_steps(api: Api, steps: Iterable[Step]) -> set[Right]:
    """What carrying out steps, and taking them back, takes."""
    steps = list(steps)
    planned = _planned_plurals(steps)
    rights: set[Right] = set()
    for step in steps:
        resource = api.resource(step.kind)
        plural = resource.plural if resource else planned.get(step.kind, "")
        verbs = ("get", "patch") if step.partial else ("get", "patch", "create", "delete")
        rights |= {Right(verb, step.kind.group, plural, step.namespace) for verb in verbs if plural}
        if step.kind == Kind("v1", "Secret"):
            rights.add(Right("create", "", "secrets", NAMESPACE))
    return rights


def require(api: Api, rights: Iterable[Right]) -> None:
    """Raise ``Forbidden`` naming every right that is missing."""
    wanted = sorted(rights, key=lambda right: (right.namespace or "", *right[:3]))
    with ThreadPoolExecutor(_THREADS) as pool:
        allowed = list(pool.map(lambda right: api.allowed(*right), wanted))
    missing = [right for right, ok in zip(wanted, allowed, strict=True) if not ok]
    if missing:
        raise Forbidden(
            f"{api.whoami()} may not {_told(missing)}.",
            remedy="Nothing was changed. Ask an administrator of the cluster for these rights.",
            status=403,
        )


def _told(rights: Iterable[Right]) -> str:
    """Rights for people: ``get, patch configmaps in meshkit-system; list pods``."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        resource = f"{right.resource}.{right.group}" if right.group else right.resource
        where = f" in {right.namespace}" if right.namespace else ""
        verbs.setdefault(resource + where, []).append(right.verb)
    return "; ".join(f"{', '.join(found)} {what}" for what, found in verbs.items())


def _planned_plurals(steps: Iterable[Step]) -> dict[Kind, str]:
    """The resources that the plan's own CustomResourceDefinitions will serve."""
    return {
        Kind(f"{spec['group']}/{version['name']}", spec["names"]["kind"]): spec["names"]["plural"]
        for step in steps
        if step.kind.kind == "CustomResourceDefinition" and not step.removed
        for spec in (step.object["spec"],)
        for version in spec["versions"]
    }
