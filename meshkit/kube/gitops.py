"""Recognize objects that Argo CD or Flux applies from a Git repository, and the fields that they declare.

Sources: Argo CD, "Resource Tracking" and "Diffing Customization"; Flux, "Kustomization" and "HelmRelease".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from meshkit.facts import Object
from meshkit.kube.metadata import annotations_of, field_paths, identity, labels, managers

TRACKING_ID = "argocd.argoproj.io/tracking-id"
"""Argo CD's annotation of what it applies: ``APPLICATION:GROUP/KIND:NAMESPACE/NAME``."""
_INSTANCES = ("argocd.argoproj.io/instance", "app.kubernetes.io/instance")
"""The labels by which Argo CD can track objects. Charts set the second for themselves."""
_KUSTOMIZE, _HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
_LEAVES = {
    f"{_KUSTOMIZE}/ssa": ("ifnotpresent", "ignore"),
    f"{_KUSTOMIZE}/reconcile": ("disabled",),
}
"""The annotations, or labels, with which Flux does not write an object that exists."""
TRACKING_ANNOTATIONS = (TRACKING_ID,)
TRACKING_LABELS = (
    _INSTANCES[0],
    *(f"{group}/{field}" for group in (_KUSTOMIZE, _HELM) for field in ("name", "namespace")),
)
"""What a tool sets on the objects that it applies; in Git it is out of place."""


@dataclass(frozen=True)
class GitOpsOwner:
    """The tool that applies an object from Git, and the object that tells it to."""

    tool: str
    kind: str
    """``Application``, ``Kustomization`` or ``HelmRelease``."""
    name: str
    """``namespace/name``, or what is known of it; empty if nothing is."""
    manager: str
    """The field manager of the tool."""

    def __str__(self) -> str:
        return f"{self.tool} ({self.kind} {self.name})" if self.name else self.tool


def owner_of(obj: Object) -> GitOpsOwner | None:
    """The tool that applies an object; None if none does, or if it was told to leave the object alone."""
    return next(filter(None, (tool(obj) for tool in _TOOLS)), None)


def declared(obj: Object, owner: GitOpsOwner) -> frozenset[tuple[str, ...]]:
    """The fields of an object that a tool owns, as paths of ``fieldsV1``; empty if this is not known."""
    return owned(obj, lambda manager: manager == owner.manager)


def owned(obj: Object, is_one: Callable[[str], bool]) -> frozenset[tuple[str, ...]]:
    """The fields of an object that certain field managers own, without those of its status."""
    entries = obj["metadata"].get("managedFields") or ()
    return frozenset(
        path
        for entry in entries
        if is_one(str(entry.get("manager"))) and not entry.get("subresource")
        for path in field_paths(entry.get("fieldsV1") or {})
    )


def pointers(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """JSON pointers of fields, each once and in order; an item of a list is named by the whole list."""
    found = set()
    for path in paths:
        steps: list[str] = []
        for step in path:
            if not step.startswith("f:"):
                break
            steps.append(step.removeprefix("f:").replace("~", "~0").replace("/", "~1"))
        found.add("/" + "/".join(steps))
    return tuple(sorted(each for each in found if not any(each.startswith(f"{o}/") for o in found)))


def _argo_cd(obj: Object) -> GitOpsOwner | None:
    manager = "argocd-controller"
    application, _, target = annotations_of(obj).get(TRACKING_ID, "").partition(":")
    if application and target == _target(obj):
        return GitOpsOwner("Argo CD", "Application", application.replace("_", "/", 1), manager)
    if manager not in managers(obj):
        return None
    named = labels(obj)
    name = next((named[label] for label in _INSTANCES if label in named), "")
    return GitOpsOwner("Argo CD", "Application", name, manager)


def _target(obj: Object) -> str:
    """The end of the annotation for this object: Argo CD ignores one that was copied from another."""
    group, kind, namespace, name = identity(obj)
    return f"{group}/{kind}:{namespace}/{name}"


def _flux(group: str, kind: str, manager: str) -> Callable[[Object], GitOpsOwner | None]:
    def found(obj: Object) -> GitOpsOwner | None:
        marks = {**labels(obj), **annotations_of(obj)}
        if any(marks.get(mark, "").lower() in values for mark, values in _LEAVES.items()):
            return None
        if f"{group}/name" not in marks and manager not in managers(obj):
            return None
        name = "/".join(filter(None, (marks.get(f"{group}/{field}") for field in ("namespace", "name"))))
        return GitOpsOwner("Flux", kind, name, manager)

    return found


_TOOLS: tuple[Callable[[Object], GitOpsOwner | None], ...] = (
    _argo_cd,
    _flux(_KUSTOMIZE, "Kustomization", "kustomize-controller"),
    _flux(_HELM, "HelmRelease", "helm-controller"),
)
