"""The effect of a plan: which requests change, from what to what, as far as it can be seen before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import MeshkitError
from meshkit.facts import Object
from meshkit.kube.metadata import title
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.effects import Effect, applied, effects
from meshkit.meshes.explain.explainer import Explainer
from meshkit.meshes.explain.notes import NOT_CARRIED
from meshkit.operations.explain import explainer_of

_WITHOUT_EFFECT = frozenset(
    {
        *("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
        *("PodDisruptionBudget", "Telemetry", "PodMonitor", "ServiceMonitor", "PrometheusRule"),
        *("CustomResourceDefinition", "ResourceQuota", "LimitRange"),
    }
)
"""Kinds that decide nothing about requests."""


@dataclass(frozen=True)
class Effects:
    """The requests that a plan changes, and what could not be seen.

    ``not_seen`` is empty only if everything that decides about requests was read.
    """

    changed: tuple[Effect, ...] = ()
    not_seen: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The effects as lines of text; no requests change only if everything was seen."""
        found = [f"changes: {effect}" for effect in self.changed]
        if not found and not self.not_seen:
            return ["No request changes."]
        return [*found, *(f"not seen: {text}" for text in self.not_seen)]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def as_record(self) -> dict[str, Any]:
        """The effects as a JSON-ready mapping."""
        return {
            "changed": [effect.as_record() for effect in self.changed],
            "not_seen": list(self.not_seen),
        }


def effects_of(
    steps: Sequence[PlannedStep], cluster: Cluster, mesh: str, *, by_pods: bool = False
) -> Effects:
    """The effects of steps on the requests of a cluster with a mesh.

    With ``by_pods``, a destination of another name with the same pods and settings is no change.
    The cluster is read, unless no step decides about requests. A cluster that cannot be read is not an error:
    its effects are not seen.
    """
    try:
        row = registry.mesh(mesh)
        deciding = [one for one in steps if _decides(one, row)]
        unseen = tuple(_unseen(steps, row))
        if not deciding:
            return Effects((), unseen)
        return _read(deciding, cluster, row, unseen, by_pods=by_pods)
    except MeshkitError as error:
        return Effects((), (error.message,))
    except Exception as error:  # a plan must be shown and applied even if its effect cannot be told
        return Effects((), (f"the effect could not be computed ({type(error).__name__}: {error}).",))


def _read(
    deciding: Sequence[PlannedStep], cluster: Cluster, row: Mesh, unseen: tuple[str, ...], *, by_pods: bool
) -> Effects:
    spaces = [one.step.namespace for one in deciding if one.step.namespace]
    before, not_read = explainer_of(cluster, row, spaces)
    written = [_object(one) for one in deciding if not one.step.removed]
    removed = [one.step.object for one in deciding if one.step.removed]
    after = after_steps(before, deciding, row)
    stale = tuple(_stale(deciding, before.effective.snapshot.objects))
    missing = _not_carried(after, [title(item) for item in (*written, *removed)])
    changed, not_known = effects(before, after, by_pods=by_pods)
    return Effects(changed, tuple(dict.fromkeys((*unseen, *not_read, *stale, *missing, *not_known))))


def after_steps(before: Explainer, steps: Iterable[PlannedStep], row: Mesh) -> Explainer:
    """The state of a cluster once these steps are done."""
    listed = tuple(steps)
    written = [_object(one) for one in listed if not one.step.removed]
    removed = [one.step.object for one in listed if one.step.removed]
    return with_objects(before, row, written, removed)


def with_objects(
    before: Explainer, row: Mesh, written: Iterable[Object], removed: Iterable[Object] = ()
) -> Explainer:
    """The state of a cluster with these objects written, and others removed."""
    seen = applied(before.effective.snapshot, written, removed)
    effective = Effective(seen, row.name, row.meaning, before.effective.home)
    return Explainer(effective, row.not_evaluated)


def _stale(deciding: Sequence[PlannedStep], held: Iterable[Object]) -> Iterator[str]:
    """The objects that have changed since they were planned, for example because the plan was applied."""
    versions = {
        (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item["metadata"]
        for item in held
    }
    for one in deciding:
        meta = versions.get((one.step.kind.kind, one.step.namespace, one.step.name))
        if meta is None:
            continue
        version = str(meta.get("resourceVersion", ""))
        if one.action == "create" or (one.seen is not None and one.seen.resource_version != version):
            yield f"{one.step.title} has changed since it was planned."


def _decides(one: PlannedStep, row: Mesh) -> bool:
    """Whether the meaning of the mesh reads a step's object."""
    kind = one.step.kind
    read = {(each.group, each.kind) for each in row.meaning.KINDS.values()}
    if kind.kind == "ConfigMap" and one.step.namespace != row.control_plane.home:
        return False
    return (kind.group, kind.kind) in read and kind.kind not in ("Namespace", "Pod")


def _unseen(steps: Iterable[PlannedStep], row: Mesh) -> Iterator[str]:
    """The steps whose effect on requests shows only when they are done, one sentence for each kind."""
    found: dict[str, list[str]] = {}
    for one in steps:
        kind = one.step.kind.kind
        if kind == "Namespace" and one.action == "create":
            continue
        if not _decides(one, row) and kind not in _WITHOUT_EFFECT and not _is_elsewhere(one, row):
            found.setdefault(kind, []).append(one.step.title.removeprefix(f"{kind} "))
    for kind, names in found.items():
        yield f"what {kind} {', '.join(names)} changes for requests."


def _is_elsewhere(one: PlannedStep, row: Mesh) -> bool:
    """Whether a step writes a ConfigMap or Secret outside of the namespace that the control plane reads."""
    is_config = one.step.kind.group == "" and one.step.kind.kind in ("ConfigMap", "Secret")
    return is_config and one.step.namespace != row.control_plane.home


def _object(one: PlannedStep) -> Object:
    """The object as it will be: the server's dry run of it, else as the plan writes it."""
    return one.after if one.after is not None else one.step.object


def _not_carried(after: Explainer, titles: Sequence[str]) -> tuple[str, ...]:
    """The parts of the plan's own objects that the mesh carries out and the meaning does not."""
    found = (
        f"{title(problem.object)}: {problem.message}"
        for caller in {group.caller for group in after.groups if group.caller is not None}
        for problem in after.effective.outbound(caller).problems
        if problem.reason == NOT_CARRIED and title(problem.object) in titles
    )
    return tuple(dict.fromkeys(found))
