"""``mk.export_mesh`` reads the mesh's objects of a cluster as YAML for a Git repository."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.diff import content
from meshkit.errors import Forbidden, UnknownName
from meshkit.facts import ClusterRef, Need, Object, Snapshot
from meshkit.kube import gitops, yaml_output
from meshkit.kube.helm import release_of
from meshkit.kube.kinds import NAMESPACE
from meshkit.kube.metadata import annotations_of, identity, labels, managers, title
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.operations.which_mesh import home_of, mesh_of

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_WITHOUT: Mapping[str, tuple[str, ...]] = {
    "labels": gitops.TRACKING_LABELS,
    "annotations": (_LAST_APPLIED, *gitops.TRACKING_ANNOTATIONS),
}
_SCOPE = (
    "Not included: the control plane, which 'meshkit plan -o yaml' writes; workloads and Services, with their"
    " labels and annotations; Secrets."
)


@dataclass(frozen=True)
class MeshExport:
    """The objects of a mesh, without what a server or a tool adds to them.

    ``left_out`` has a sentence for each object that is not exported, ``not_read`` what this account may not
    read. ``notes`` maps the title of an object to what is to be known of it.
    """

    mesh: str
    cluster: ClusterRef
    objects: tuple[Object, ...]
    left_out: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def yaml(self) -> str:
        """The objects as documents, below a comment that names what is not among them."""
        head = [
            f"Objects of {registry.mesh(self.mesh).title} on cluster {self.cluster}: {len(self.objects)}.",
            _SCOPE,
            *(f"left out: {text}" for text in self.left_out),
            *(f"not read: {text}" for text in self.not_read),
        ]
        return yaml_output.stream(yaml_output.comment("\n".join(head)), map(self._document, self.objects))

    def _document(self, obj: Object) -> str:
        note = self.notes.get(title(obj))
        return (yaml_output.comment(note) if note else "") + yaml_output.document(obj)

    def as_record(self) -> dict[str, Any]:
        """The export as a JSON-ready mapping."""
        return {
            "mesh": self.mesh,
            "cluster": vars(self.cluster),
            "objects": list(self.objects),
            "left_out": list(self.left_out),
            "not_read": list(self.not_read),
        }

    def __str__(self) -> str:
        return self.yaml

    __repr__ = __str__


def export_mesh(cluster: Cluster, namespaces: Iterable[str] = (), *, mesh: str | None = None) -> MeshExport:
    """Read the mesh's objects of a cluster, or of some namespaces, for a Git repository.

    These are the objects of the mesh's kinds and of the Gateway API, and the labels and annotations by which
    namespaces join the mesh. Objects that a controller or the control plane made are left out and named, as
    are the Secrets that objects refer to, which are not read. Changes nothing. Raises ``UnknownName`` for a
    namespace that does not exist, and ``Forbidden`` if nothing was read and something may not be: an empty
    file would be taken for an empty mesh.
    """
    within = tuple(dict.fromkeys(namespaces))
    row = registry.mesh(mesh_of(cluster, mesh, within))
    needs = [Need(kind, name, optional=True) for kind in row.own_kinds for name in within or (None,)]
    seen = snapshot.read(cluster, (Need(NAMESPACE, within=within, optional=True), *needs))
    _require_known(within, seen)
    if seen.unread and not seen.objects:
        problem = f"Of {row.title}'s objects nothing was read, as this account may not read {seen.unread[0]}"
        more = f" and {len(seen.unread) - 1} more kinds" if len(seen.unread) > 1 else ""
        remedy = "Ask for the role: 'meshkit rights read'."
        raise Forbidden(f"{problem}{more}.", remedy=remedy, status=403)
    return exported(seen, row, cluster.ref, home_of(cluster, row), within)


def exported(
    seen: Snapshot, row: Mesh, cluster: ClusterRef, home: str, within: tuple[str, ...] = ()
) -> MeshExport:
    """The export of the objects of a Snapshot."""
    kept: list[Object] = []
    left: list[str] = []
    notes: dict[str, str] = {}
    for obj in _in_order(seen, row, within):
        reason = _made_by(obj, row)
        if obj["kind"] == NAMESPACE.kind:
            if obj["metadata"]["name"] != home and (part := _namespace_part(obj, row)):
                kept.append(part)
        elif reason:
            left.append(f"{title(obj)}, {reason}.")
        else:
            kept.append(cleaned(obj))
            notes |= {title(obj): note for note in [_note(obj)] if note}
    return MeshExport(row.name, cluster, tuple(kept), (*left, *_secrets(kept)), seen.unread, notes)


def cleaned(obj: Object) -> dict[str, Any]:
    """An object without status, and without what a server, kubectl or a GitOps tool adds to it."""
    kept = content(obj)
    meta = kept["metadata"]
    for name, without in _WITHOUT.items():
        held = {key: text for key, text in (meta.pop(name, None) or {}).items() if key not in without}
        if held:
            meta[name] = held
    for name in ("ownerReferences", "finalizers", "generateName"):
        meta.pop(name, None)
    order = ("apiVersion", "kind", "metadata")
    return {key: kept[key] for key in (*order, *(key for key in kept if key not in order))}


def _in_order(seen: Snapshot, row: Mesh, within: tuple[str, ...]) -> list[Object]:
    """Namespaces first, then the objects by namespace, kind and name."""
    kinds = {(kind.group, kind.kind) for kind in row.own_kinds}
    found = [obj for obj in seen.objects if identity(obj)[:2] in kinds]
    homes = [obj for obj in seen.of(NAMESPACE.kind) if not within or obj["metadata"]["name"] in within]
    return [
        *sorted(homes, key=identity),
        *sorted(found, key=lambda obj: (identity(obj)[2], identity(obj)[1], identity(obj)[3])),
    ]


def _namespace_part(namespace: Object, row: Mesh) -> dict[str, Any] | None:
    """A namespace with the labels and annotations by which it joins the mesh; None if it has none."""
    meta: dict[str, Any] = {"name": namespace["metadata"]["name"]}
    for place, marks in (("labels", labels(namespace)), ("annotations", annotations_of(namespace))):
        held = {name: text for name, text in sorted(marks.items()) if _is_mark(name, row)}
        if held:
            meta[place] = held
    part = {"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind, "metadata": meta}
    return part if len(meta) > 1 else None


def _is_mark(name: str, row: Mesh) -> bool:
    domain = name.partition("/")[0]
    return name == row.injection.mark or f".{domain}".endswith(f".{row.removal.group}")


def _made_by(obj: Object, row: Mesh) -> str:
    """Who makes an object, if it is not for a person to declare it; else empty."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        return f"which {owner.get('kind')} {owner.get('name')} owns"
    writers = set(managers(obj))
    if writers and writers <= set(row.control_plane.writers):
        return "which the control plane writes"
    return ""


def _note(obj: Object) -> str:
    """Where else an object is declared already."""
    owner = gitops.owner_of(obj)
    if owner is not None:
        return f"{owner} applies it from Git already."
    release = release_of(obj)
    return f"Helm release {'/'.join(release)} makes it: change the chart's values instead." if release else ""


def _secrets(objects: Iterable[Object]) -> list[str]:
    """A sentence for each Secret that objects refer to."""
    found: dict[str, str] = {}
    for obj in objects:
        for name in _named_secrets(json.loads(json.dumps(obj.get("spec") or {}))):
            found.setdefault(name, title(obj))
    return [f"Secret {name}, to which {where} refers; keep it out of Git." for name, where in found.items()]


def _named_secrets(value: Any) -> Iterator[str]:
    """The Secrets that the fields of Gateways and policies name."""
    if isinstance(value, list):
        for each in value:
            yield from _named_secrets(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("credentialName", "imagePullSecret") and isinstance(inner, str):
                yield inner
            elif key == "certificateRefs" and isinstance(inner, list):
                yield from (str(ref["name"]) for ref in inner if ref.get("kind", "Secret") == "Secret")
            else:
                yield from _named_secrets(inner)


def _require_known(names: Iterable[str], seen: Snapshot) -> None:
    known = [str(each["metadata"]["name"]) for each in seen.of(NAMESPACE.kind)]
    for name in names:
        if known and name not in known:
            raise UnknownName("namespace", name, known)
