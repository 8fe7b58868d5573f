"""Move a route of a mesh's own API to Gateway API, if no request changes by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import BadInput, Conflict, UnsupportedByMesh
from meshkit.facts import Object
from meshkit.kube.kinds import SERVICE
from meshkit.kube.metadata import managers, title
from meshkit.kube.steps import RELEASE_MANAGER
from meshkit.meshes import registry
from meshkit.meshes.model.hosts import host_of
from meshkit.meshes.ownership import MANAGER
from meshkit.operations.change import plan_steps
from meshkit.operations.effects import Effects, effects_of
from meshkit.operations.plan import Plan
from meshkit.operations.which_mesh import mesh_of

_SHOWN = 3


def plan_convert(route: str, cluster: Cluster, *, mesh: str | None = None, take_fields: bool = False) -> Plan:
    """Plan the move of a VirtualService, ``namespace/name``, to an HTTPRoute that does the same.

    Subsets become Services with the policies of the subsets. Applying the plan removes the VirtualService
    after the HTTPRoute was accepted; undoing the change restores it. Raises ``BadInput`` for a field that has
    no equivalent and for a move that would change requests, and ``Conflict`` for a VirtualService that
    somebody else manages, unless ``take_fields`` is set.
    """
    namespace, _, name = route.partition("/")
    if not (namespace and name):
        raise BadInput("route", f"{route!r} is not NAMESPACE/NAME.", remedy="Write it as shop/web.")
    mesh = mesh_of(cluster, mesh, (namespace,))
    row = registry.mesh(mesh)
    if row.conversion is None:
        problem = f"the routes of {row.title} are of Gateway API already."
        raise UnsupportedByMesh("mesh", problem, remedy="There is nothing to convert.")
    seen = snapshot.read(cluster, row.conversion.needs(namespace))
    steps = tuple(row.conversion.conversion(name, namespace, seen))
    present = seen.find(steps[-1].kind.kind, name, namespace)
    if present is not None:
        _require_ours(present, take_fields=take_fields)
    operation = Operation("convert", mesh, f"{namespace}/{name}")
    plan = plan_steps(steps, cluster, operation, what=f"Convert {steps[-1].title}")
    effects = effects_of_move(plan.steps, cluster, mesh)
    _require_unchanged(effects)
    return replace(plan, look=lambda: effects)


def effects_of_move(steps: Sequence[PlannedStep], cluster: Cluster, mesh: str) -> Effects:
    """The effects by the pods that requests reach, without those on Services that the steps create.

    Nobody sends requests to these yet.
    """
    effects = effects_of(steps, cluster, mesh, by_pods=True)
    created = tuple(
        f"{host_of(one.step.object)}:" for one in steps if one.action == "create" and one.step.kind == SERVICE
    )
    changed = (each for each in effects.changed if not each.place.startswith(created))
    return Effects(tuple(changed), effects.not_seen)


def _require_ours(route: Object, *, take_fields: bool) -> None:
    """Raise ``Conflict`` for a route with fields of others, or whose weights a release manages."""
    others = [each for each in managers(route, "spec") if each != MANAGER]
    if RELEASE_MANAGER in others:
        message = f"a release manages the weights of {title(route)}."
        raise Conflict(message, remedy="Let the release end first.")
    if others and not take_fields:
        raise Conflict(
            f"{', '.join(dict.fromkeys(others))} manages {title(route)}, and would write it again.",
            remedy="Convert it where it is managed, or take it over with take_fields=True (--take-fields).",
        )


def _require_unchanged(effects: Effects) -> None:
    """Raise ``BadInput`` for effects that change requests."""
    if changed := effects.changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        listed = "; ".join(map(str, changed[:_SHOWN]))
        raise BadInput(
            "route",
            f"requests would change: {listed}{more}.",
            remedy="Leave the Service with its VirtualService.",
        )
