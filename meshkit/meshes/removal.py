"""The steps that uninstall a mesh, and warnings about namespaces that still use it.

Webhooks are removed first, so that no pod waits for a missing injector. Objects that the control plane would
write again are removed after it; its namespace and definitions are removed last. Undo uses the reverse order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshkit import codes
from meshkit.errors import BadInput
from meshkit.facts import Finding, Object, Snapshot
from meshkit.kube.helm import RELEASE, release_of
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh, RemovalMarks
from meshkit.meshes.injection import proxies
from meshkit.meshes.ownership import deletion_step, is_ours

_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_BINDING, _ROLE, _DEFINITION = "ClusterRoleBinding", "ClusterRole", "CustomResourceDefinition"
_TRANSIENT = ("Lease", "Event", "Endpoints", "EndpointSlice")
"""Kinds that end with the namespace or by themselves."""
_LATE = ("ConfigMap", "Secret", "RoleBinding", "Role", "ServiceAccount", "LimitRange", "ResourceQuota")
"""Kinds that are removed after the workloads that use them, in this order."""


def removal(snapshot: Snapshot, mesh: str, home: str, *, definitions: bool) -> tuple[Step, ...]:
    """The steps that uninstall a mesh, with its CustomResourceDefinitions only on request.

    The Snapshot holds all of the namespace ``home``, all releases (RELEASE, ``spec.chart`` is Chart.yaml),
    webhooks, cluster roles, definitions and namespaces, and the mesh's ConfigMaps everywhere. Raises
    ``BadInput`` for a control plane that neither meshkit nor Helm installed.
    """
    row = registry.mesh(mesh)
    marks = row.removal
    releases = _releases(snapshot, row, home, definitions)
    gone = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in releases}
    inside = [one for one in snapshot.objects if _is_inside(one, home, marks)]
    _require_ours(snapshot, row, home)
    homes = dict.fromkeys([*(one["metadata"]["namespace"] for one in releases), home])
    found = [
        *(hook for kind in _WEBHOOKS for hook in snapshot.of(kind) if _calls(hook, home)),
        *releases,
        *sorted(inside, key=lambda one: _LATE.index(one["kind"]) + 1 if one["kind"] in _LATE else 0),
        *_cluster_roles(snapshot, home),
        *_copies(snapshot, mesh, home),
        *(one for one in snapshot.of("Namespace") if one["metadata"]["name"] in homes and _may_go(one, home)),
        *(one for one in snapshot.of(_DEFINITION) if definitions and _is_of(one, marks)),
    ]
    # What Helm made goes with its release; definitions stay behind where their chart says so.
    return tuple(
        deletion_step(one, renewed=_is_written_by(one, row))
        for one in found
        if one["kind"] == _DEFINITION or release_of(one) not in gone
    )


def unknown_writings(snapshot: Snapshot, mesh: str, home: str) -> Iterator[Finding]:
    """Warn about objects that the control plane wrote and that meshkit does not know, which stay."""
    row = registry.mesh(mesh)
    found: dict[tuple[str, str], list[str]] = {}
    for one in snapshot.objects:
        meta = one["metadata"]
        if not meta.get("namespace") or meta.get("ownerReferences") or one["kind"] in _TRANSIENT:
            continue
        if _is_written_by(one, row) and not _is_written(one, row.removal):
            found.setdefault((one["kind"], meta["name"]), []).append(meta["namespace"])
    for (kind, name), namespaces in sorted(found.items()):
        where = f"{kind} {home if home in namespaces else min(namespaces)}/{name}"
        more = f" There is one in {len(namespaces)} namespaces." if len(namespaces) > 1 else ""
        message = f"{row.title}'s control plane wrote it, for a purpose that meshkit does not know.{more}"
        yield codes.finding(codes.UNKNOWN_WRITING_STAYS, where, message)


def _is_written_by(one: Object, row: Mesh) -> bool:
    """Whether nobody but the control plane wrote an object."""
    managers = {entry["manager"] for entry in one["metadata"].get("managedFields") or ()}
    return bool(managers) and managers <= set(row.control_plane.writers)


def _is_written(one: Object, marks: RemovalMarks) -> bool:
    """Whether the control plane writes an object for itself, to its namespace or to all."""
    name = one["metadata"]["name"]
    return (one["kind"], name) in marks.written or (one["kind"] == "ConfigMap" and name in marks.copied)


def meshed(snapshot: Snapshot, mesh: str, homes: set[str]) -> Counter[str]:
    """Namespace -> number of pods with a sidecar, without the mesh's own namespaces."""
    found = (pod["metadata"]["namespace"] for pod in proxies(snapshot.of("Pod"), mesh))
    return Counter(namespace for namespace in found if namespace not in homes)


def sidecarless(snapshot: Snapshot, mesh: str, homes: set[str]) -> Counter[str]:
    """Namespace -> number of pods in the mesh without a sidecar, without the mesh's own namespaces."""
    rules = registry.mesh(mesh).injection
    pods = rules.without_sidecar(snapshot.of("Pod"), snapshot.of("Namespace"))
    found = (pod["metadata"]["namespace"] for pod in pods)
    return Counter(namespace for namespace in found if namespace not in homes)


def remaining_users(snapshot: Snapshot, mesh: str, homes: set[str]) -> Iterator[Finding]:
    """Warn about namespaces with meshed pods, and about those that still ask for injection."""
    for name, count in sorted(meshed(snapshot, mesh, homes).items()):
        many = "1 pod runs" if count == 1 else f"{count} pods run"
        message = f"{many} a sidecar, which gets no new route or certificate once {mesh} is gone."
        yield codes.finding(codes.PODS_LOSE_THEIR_MESH, f"Namespace {name}", message)
    for name, count in sorted(sidecarless(snapshot, mesh, homes).items()):
        many = "1 pod is" if count == 1 else f"{count} pods are"
        message = (
            f"{many} in the mesh without a sidecar, and no agent of a node carries their connections then."
        )
        remedy = "Remove the namespace's or the pods' label for it first."
        yield codes.finding(codes.PODS_LOSE_THEIR_MESH, f"Namespace {name}", message, remedy)
    for namespace in snapshot.of("Namespace"):
        asked = registry.mesh(mesh).injection.request(namespace)
        if asked and namespace["metadata"]["name"] not in homes:
            message = f"it asks for injection ({asked}), and there will be no injector."
            yield codes.finding(codes.INJECTION_UNANSWERED, title(namespace), message)


def kept_definitions(snapshot: Snapshot, mesh: str) -> Iterator[Finding]:
    """Warn that the CustomResourceDefinitions are kept unless their removal is requested."""
    marks = registry.mesh(mesh).removal
    count = sum(_is_of(one, marks) for one in snapshot.of(_DEFINITION))
    if count:
        message = "they are kept, with every route and policy written for the mesh."
        where = f"{count} CustomResourceDefinitions of {mesh}"
        yield codes.finding(codes.DEFINITIONS_STAY, where, message)


def _releases(snapshot: Snapshot, row: Mesh, home: str, definitions: bool) -> list[Object]:
    """The mesh's releases in removal order: gateways in all namespaces, the others in the home namespace.

    A release that contains definitions is included only if their removal is requested.
    """
    marks = row.removal
    found = [
        one
        for one in snapshot.of(RELEASE.kind)
        if (chart := one["spec"]["chart"])["name"] in marks.charts
        and row.name in str(chart)
        and (one["metadata"]["namespace"] == home or chart["name"] in marks.anywhere)
        and (definitions or chart["name"] not in marks.definitions)
    ]
    return sorted(found, key=lambda one: marks.charts.index(one["spec"]["chart"]["name"]))


def _is_inside(one: Object, home: str, marks: RemovalMarks) -> bool:
    meta = one["metadata"]
    if one["kind"] == RELEASE.kind or meta.get("namespace") != home or meta.get("ownerReferences"):
        return False
    return is_ours(one) or _is_written(one, marks)


def _require_ours(snapshot: Snapshot, row: Mesh, home: str) -> None:
    """Raise ``BadInput`` for a control plane of another installer, whose objects are unknown."""
    for one in snapshot.of("Deployment", home):
        if row.control_plane.is_part(one) and not is_ours(one) and release_of(one) is None:
            raise BadInput(
                "uninstall",
                f"{title(one)} was installed neither by meshkit nor by Helm.",
                remedy=row.removal.elsewhere,
            )


def _calls(hook: Object, home: str) -> bool:
    services = [(one["clientConfig"].get("service") or {}) for one in hook.get("webhooks") or ()]
    return bool(services) and all(service.get("namespace") == home for service in services)


def _cluster_roles(snapshot: Snapshot, home: str) -> Iterator[Object]:
    """The bindings that meshkit made only for ServiceAccounts of the control plane, each before its role."""
    for binding in snapshot.of(_BINDING):
        subjects = binding.get("subjects") or ()
        if is_ours(binding) and subjects and all(s.get("namespace") == home for s in subjects):
            yield binding
            role = snapshot.find(_ROLE, binding["roleRef"]["name"])
            if role and is_ours(role):
                yield role


def _copies(snapshot: Snapshot, mesh: str, home: str) -> Iterator[Object]:
    """ConfigMaps that the control plane wrote to other namespaces and that no sidecar mounts."""
    copied, needed = registry.mesh(mesh).removal.copied, meshed(snapshot, mesh, {home})
    for one in snapshot.of("ConfigMap"):
        namespace = one["metadata"]["namespace"]
        if one["metadata"]["name"] in copied and namespace != home and not needed[namespace]:
            yield one


def _may_go(namespace: Object, home: str) -> bool:
    """Whether a namespace may be deleted: the home namespace, or one that meshkit made for a release."""
    name = namespace["metadata"]["name"]
    return not name.startswith("kube-") and name != "default" and (name == home or is_ours(namespace))


def _is_of(definition: Object, marks: RemovalMarks) -> bool:
    group = definition["spec"]["group"]
    return bool(group == marks.group or group.endswith(f".{marks.group}"))
