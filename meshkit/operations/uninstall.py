"""``mk.plan_uninstall`` plans the removal of a mesh and shows it before anything is removed.

The result is an ordinary plan. ``mk.apply`` runs it once the context's name was given as confirmation. The
prior state of every object is stored in the journal first, so that ``mk.undo`` can restore it. An undo that
removes a mesh's last control plane is held to the same rule: no pod may still run the mesh's sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshkit import codes
from meshkit.cluster import deletion as removal
from meshkit.cluster import helm, snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.cluster.undo import Restoration
from meshkit.errors import BadInput, Forbidden
from meshkit.facts import Kind, Need, Snapshot
from meshkit.kube.helm import RELEASE
from meshkit.kube.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, POD
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.removal import (
    kept_definitions,
    meshed,
    remaining_users,
    sidecarless,
    unknown_writings,
)
from meshkit.meshes.removal import removal as steps_of
from meshkit.operations.change import plan_steps
from meshkit.operations.plan import Plan
from meshkit.operations.which_mesh import components_of, mesh_of

_CLUSTER_WIDE = (
    Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    Kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRole"),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
)


def plan_uninstall(
    cluster: Cluster,
    *,
    mesh: str | None = None,
    namespace: str = "",
    crds: bool = False,
    force: bool = False,
) -> Plan:
    """Plan the removal of a mesh from a cluster; ``mk.apply`` runs it with the context's name as ``confirm``.

    ``namespace`` is the control plane's, by default the mesh's standard one. CustomResourceDefinitions are
    removed only with ``crds``, and only those without objects; a namespace that contains other objects stays.
    Findings name what stays and what still needs the mesh. Raises ``BadInput`` naming the namespaces with
    meshed pods, unless ``force`` is set, for a control plane that neither meshkit nor Helm installed,
    and if ``mesh`` is not given and the cluster has several.
    """
    mesh = mesh_of(cluster, mesh)
    row = registry.mesh(mesh)
    home = namespace or row.control_plane.home
    seen = _read(cluster, home, row.removal.copied_label)
    steps = steps_of(seen, mesh, home, definitions=crds)
    homes = {home, *(str(step.namespace) for step in steps if step.kind == RELEASE)}
    if steps and not force:
        _require_unused(seen, mesh, homes)
    staying = _staying(cluster, steps)
    findings = (
        *(remaining_users(seen, mesh, homes) if steps else ()),
        *(() if crds else kept_definitions(seen, mesh)),
        *(unknown_writings(seen, mesh, home) if steps else ()),
        *(codes.finding(codes.STAYS_FOR_OTHERS, what, text) for what, text in staying.items()),
    )
    going = [step for step in steps if step.title not in staying]
    operation = Operation("uninstall", mesh, home)
    plan = plan_steps(going, cluster, operation, what="Uninstall", findings=findings)
    return replace(plan, confirmation=plan.context)


def _read(cluster: Cluster, home: str, copied: str) -> Snapshot:
    """Read all objects in the control plane's namespace, and the mesh's objects elsewhere.

    ``copied`` is the label of objects that the mesh writes into every namespace.
    """
    inside = [kind for kind in cluster.api.namespaced_kinds() if kind.kind not in removal.BOOKKEEPING_KINDS]
    needs = [Need(NAMESPACE), Need(POD), *map(Need, _CLUSTER_WIDE)]
    objects = snapshot.read(cluster, [*needs, *(Need(kind, home) for kind in inside if kind != POD)])
    copies = cluster.api.list(CONFIG_MAP, labels=copied) if copied else []
    elsewhere = (copy for copy in copies if copy["metadata"]["namespace"] != home)
    return Snapshot((*objects.objects, *elsewhere, *helm.installed(cluster)))


def _require_unused(seen: Snapshot, mesh: str, homes: set[str]) -> None:
    used = meshed(seen, mesh, homes)
    bare = sidecarless(seen, mesh, homes)
    if bare:
        pods = ", ".join(f"{name} ({count})" for name, count in sorted(bare.items()))
        raise BadInput(
            "uninstall",
            f"pods are still in {mesh} without a sidecar, in {pods}.",
            remedy="Remove the label by which their namespace or they ask for it, or use force=True (--force)"
            ": their connections break when the agents on the nodes go.",
        )
    if used:
        pods = ", ".join(f"{name} ({count})" for name, count in sorted(used.items()))
        raise BadInput(
            "uninstall",
            f"pods still run {mesh}'s sidecar, in {pods}.",
            remedy="Undo their injection first ('meshkit history'), or use force=True (--force): "
            "their proxies get no new routes, and their connections fail once their certificates expire.",
        )


def _staying(cluster: Cluster, steps: Sequence[Step]) -> dict[str, str]:
    """Return the titles of objects that must stay because removal would delete others, and the reasons."""
    holders = (step for step in steps if step.kind.kind in removal.HOLDERS)
    read = (helm.client_for(cluster, step.kind).get(step.kind, step.name, step.namespace) for step in holders)
    live = [holder for holder in read if holder]
    going = {step.title for step in steps}
    for holder in live:
        if holder["kind"] == RELEASE.kind:
            going |= removal.goes_with(cluster, holder)
    found: dict[str, str] = {}
    for holder in live:
        inside = removal.held(cluster, holder, going)
        if inside:
            found[title(holder)] = removal.stays("it", inside)
    return found


def require_control_plane_unused(cluster: Cluster, wanted: Sequence[Restoration]) -> None:
    """Raise ``BadInput`` naming the namespaces whose pods would lose the last control plane of their mesh.

    An account that may not read the whole cluster is not asked for more rights: nothing is raised.
    """
    going = [one for one in wanted if one.prior is None and not one.removed]
    if not any(one.kind in (DEPLOYMENT, RELEASE) for one in going):
        return
    try:
        used = _losing(cluster, _deleted_titles(cluster, going))
    except Forbidden:
        return
    if used:
        raise BadInput(
            "undo",
            f"it removes the control plane of pods that still run its sidecar, in {', '.join(used)}.",
            remedy="Undo their injection first ('meshkit history'), or use force=True (--force): "
            "their proxies get no new routes, and their connections fail once their certificates expire.",
        )


def _deleted_titles(cluster: Cluster, going: Sequence[Restoration]) -> set[str]:
    """The titles of the objects that the undo deletes, with those of Helm's releases."""
    titles = {one.title for one in going}
    for one in going:
        if one.kind == RELEASE:
            live = helm.client_for(cluster, RELEASE).get(RELEASE, one.name, one.namespace)
            titles |= removal.goes_with(cluster, live) if live else set()
    return titles


def _losing(cluster: Cluster, going: set[str]) -> list[str]:
    """The namespaces, with the number of their pods, that no control plane of their mesh serves then."""
    found: list[str] = []
    for row in registry.MESHES.values():
        components = components_of(row, cluster)
        if components and {title(each) for each in components} <= going:
            homes = {str(each["metadata"]["namespace"]) for each in components}
            used = meshed(Snapshot(tuple(cluster.api.list(POD))), row.name, homes)
            found += [f"{name} ({count})" for name, count in sorted(used.items())]
    return found
