"""The permissions that an operation needs, checked with the API server before the first change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from meshkit.cluster.api import Api, Resource
from meshkit.cluster.connect import Cluster
from meshkit.cluster.helm import Helm
from meshkit.cluster.journal import NAMESPACE
from meshkit.cluster.transport.parallel import at_once
from meshkit.errors import Forbidden
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import Step

_OF_RECORDS = ("get", "list", "create", "update", "delete")
"""The verbs that Helm uses on the Secrets of its releases."""
_OF_CHARTS = ("get", "list", "watch", "create", "patch", "delete")
"""The verbs that Helm uses on a chart's objects; Helm 4 waits for each by list and watch."""


class Right(NamedTuple):
    """A permission: a verb on a resource (``pods/proxy``), in one namespace or (None) cluster-wide."""

    verb: str
    group: str
    resource: str
    namespace: str | None = None


def of_journal(api: Api) -> set[Right]:
    """The permissions for the journal: its records, deleting old ones, and creating its namespace."""
    verbs = ("get", "list", "create", "patch", "delete")
    rights = {Right(verb, "", "configmaps", NAMESPACE) for verb in verbs}
    namespace = Kind("v1", "Namespace")
    needed = Right("get", "", "namespaces", NAMESPACE)
    if api.allowed(*needed) and api.get(namespace, NAMESPACE) is not None:
        return rights | {needed}
    return rights | {needed, Right("create", "", "namespaces"), Right("patch", "", "namespaces")}


def of_lock() -> set[Right]:
    """The permissions for the lock."""
    verbs = ("get", "create", "patch")
    return {Right(verb, "coordination.k8s.io", "leases", NAMESPACE) for verb in verbs}


def of_steps(api: Api, steps: Iterable[Step]) -> set[Right]:
    """The permissions to apply and to undo steps."""
    steps = list(steps)
    planned = _defined(step.object for step in steps if not step.removed)
    rights: set[Right] = set()
    for step in steps:
        resource = api.resource(step.kind) or planned.get(step.kind)
        verbs = ("get", "patch") if step.partial else ("get", "patch", "create", "delete")
        if resource:
            rights |= {Right(verb, step.kind.group, resource.plural, step.namespace) for verb in verbs}
        if step.kind == Kind("v1", "Secret"):
            rights.add(Right("create", "", "secrets", NAMESPACE))
    return rights


def of_releases(cluster: Cluster, steps: Iterable[Step]) -> set[Right]:
    """The permissions for releases: Helm's records, the objects of the release now, and those of its chart.

    Charts are rendered without the cluster, so a chart whose definitions an earlier release installs is
    checked like any other. Two things fail only in the step itself: objects that a chart renders depending
    on the cluster, and roles with more permissions than the user has.
    """
    helm, charts = Helm(cluster), []
    rights: set[Right] = set()
    for step in steps:
        if step.kind == RELEASE:
            live = helm.get(RELEASE, step.name, step.namespace)
            held = list(live["spec"]["objects"].values()) if live else []
            made = [] if step.removed else helm.rendered(step.object)
            charts.append((str(step.namespace), [*held, *made]))
            if step.removed:
                # The journal keeps Helm's record of a deleted release.
                rights.add(Right("create", "", "secrets", NAMESPACE))
    return rights | of_charts(cluster.api, charts)


def of_charts(api: Api, charts: Sequence[tuple[str, Sequence[Object]]]) -> set[Right]:
    """The permissions for charts, given as pairs of namespace and objects.

    A kind that is neither served nor defined by one of the charts is left out.
    """
    planned = _defined(obj for _, objects in charts for obj in objects)
    rights: set[Right] = set()
    for home, objects in charts:
        rights |= {Right(verb, "", "secrets", home) for verb in _OF_RECORDS}
        for obj in objects:
            kind = Kind(obj["apiVersion"], obj["kind"])
            resource = api.resource(kind) or planned.get(kind)
            if resource is None:
                continue
            where = (obj["metadata"].get("namespace") or home) if resource.namespaced else None
            rights |= {Right(verb, kind.group, resource.plural, where) for verb in _OF_CHARTS}
            if kind.kind == "Deployment":
                rights.add(Right("list", kind.group, "replicasets", where))
    return rights


def require(api: Api, rights: Iterable[Right]) -> None:
    """Raise ``Forbidden``, which lists all missing permissions."""
    lacking = missing(api, rights)
    if lacking:
        raise Forbidden(
            f"{api.whoami()} may not {describe(lacking)}.",
            remedy="Nothing was changed. Ask an administrator of the cluster for these rights.",
            status=403,
        )


def missing(api: Api, rights: Iterable[Right]) -> list[Right]:
    """The permissions among these that the user does not have."""
    wanted = sorted(rights, key=lambda right: (right.namespace or "", *right[:3]))
    allowed = at_once(lambda right: api.allowed(*right), wanted)
    return [right for right, ok in zip(wanted, allowed, strict=True) if not ok]


def describe(rights: Iterable[Right]) -> str:
    """Format permissions: ``get, patch configmaps in meshkit-system; list pods``."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        resource = f"{right.resource}.{right.group}" if right.group else right.resource
        where = f" in {right.namespace}" if right.namespace else ""
        verbs.setdefault(resource + where, []).append(right.verb)
    return "; ".join(f"{', '.join(found)} {what}" for what, found in verbs.items())


def _defined(objects: Iterable[Object]) -> dict[Kind, Resource]:
    """The resources that the CustomResourceDefinitions among these objects define.

    Definitions in an installed release have only a hash of their spec; these are served already.
    """
    return {
        Kind(f"{spec['group']}/{version['name']}", spec["names"]["kind"]): Resource(
            spec["names"]["plural"], spec["scope"] == "Namespaced"
        )
        for obj in objects
        if obj["kind"] == "CustomResourceDefinition" and "group" in (spec := obj["spec"])
        for version in spec["versions"]
    }
