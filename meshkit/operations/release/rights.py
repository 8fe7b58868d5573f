"""The permissions to run or undo a release, and those that its gates and notices need besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.rights import Right
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute


def required_rights(
    cluster: Cluster, routes: Sequence[WeightedRoute], release: Release | None = None
) -> set[Right]:
    """The permissions to run or undo a release; without ``release``, those to undo it.

    They are get and patch on the objects with the weights, get on the Service, list on pods in all
    namespaces, and those of the journal and the lock; to run it also get on pods/proxy in all namespaces (a
    caller may be in any namespace).
    A gate needs get and list on the workloads of the namespace (annotation), or get on Secrets (webhook), and
    a webhook of notices get on Secrets too.
    """
    from meshkit.cluster import rights

    required = rights.of_journal(cluster.api) | rights.of_lock()
    required.add(rights.Right("list", "", "pods"))
    required.add(rights.Right("get", "", "services", routes[0].namespace))
    for route in routes:
        if resource := cluster.api.resource(route.kind):
            group, plural = route.kind.group, resource.plural
            required |= {rights.Right(verb, group, plural, route.namespace) for verb in ("get", "patch")}
    if release is None:
        return required
    return required | {rights.Right("get", "", "pods/proxy")} | rights_to_ask(release)


def rights_to_ask(release: Release) -> set[Right]:
    """The permissions to ask the gates of a release, and to read the address of its notices."""
    from meshkit.cluster.rights import Right

    ways, where = {gate.by for gate in release.gates}, release.namespace
    required = {Right("get", "", "secrets", where)} if release.notify or "webhook" in ways else set()
    if "annotation" in ways:
        kinds = ("deployments", "statefulsets")
        required |= {Right(verb, "apps", kind, where) for verb in ("get", "list") for kind in kinds}
    return required


def require_rights(cluster: Cluster, routes: Sequence[WeightedRoute], release: Release | None = None) -> None:
    """Raise ``Forbidden`` naming all missing rights to run a release, or without ``release`` to undo it."""
    from meshkit.cluster import rights

    rights.require(cluster.api, required_rights(cluster, routes, release))


def missing_rights(cluster: Cluster, routes: Sequence[WeightedRoute], release: Release) -> str:
    """Name the permissions that the account lacks to run a release; empty if it lacks none."""
    from meshkit.cluster import rights

    return rights.describe(rights.missing(cluster.api, required_rights(cluster, routes, release)))


def missing_events(cluster: Cluster, release: Release) -> str:
    """Say why Events about the release will be missing; empty if they are all written."""
    from meshkit.cluster import rights
    from meshkit.operations.release.notices.events import event_rights

    lacking = rights.missing(cluster.api, event_rights(release))
    if not lacking:
        return ""
    none = any(right.verb == "create" for right in lacking)
    what = "No Events about it are written" if none else "Events are written on the Service only"
    return f"{what}: this account may not {rights.describe(lacking)}."
