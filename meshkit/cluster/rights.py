"""What a plan needs to be allowed, asked of the API server before the first change."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from meshkit.cluster.api import Api
from meshkit.errors import Forbidden
from meshkit.facts import Kind
from meshkit.planners.steps import Step

_THREADS = 8


class Right(NamedTuple):
    """A verb on a resource, in one namespace or (None) in the cluster."""

    verb: str
    group: str
    resource: str
    namespace: str | None = None

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" in {self.namespace}" if self.namespace else "")


def of_journal(namespace: str) -> set[Right]:
    """What writing down a change takes."""
    names = {Right("get", "", "namespaces"), Right("patch", "", "namespaces")}
    return names | {Right(verb, "", "configmaps", namespace) for verb in ("get", "list", "create", "patch")}


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
    return rights


def require(api: Api, rights: Iterable[Right]) -> None:
    """Raise ``Forbidden`` naming every right that is missing."""
    wanted = sorted(rights, key=lambda right: (right.namespace or "", *right[:3]))
    with ThreadPoolExecutor(_THREADS) as pool:
        allowed = list(pool.map(lambda right: api.allowed(*right), wanted))
    missing = [str(right) for right, ok in zip(wanted, allowed, strict=True) if not ok]
    if missing:
        raise Forbidden(
            f"{api.whoami()} may not {'; '.join(missing)}.",
            remedy="Nothing was changed. Ask an administrator of the cluster for these rights.",
            status=403,
        )


def _planned_plurals(steps: Iterable[Step]) -> dict[Kind, str]:
    """The resources that the plan's own CustomResourceDefinitions will serve."""
    return {
        Kind(f"{spec['group']}/{version['name']}", spec["names"]["kind"]): spec["names"]["plural"]
        for step in steps
        if step.kind.kind == "CustomResourceDefinition"
        for spec in (step.object["spec"],)
        for version in spec["versions"]
    }
