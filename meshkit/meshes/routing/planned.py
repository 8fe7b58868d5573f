"""Plan several intents together, and the Snapshot that a plan leads to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshkit.facts import Need, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import identity
from meshkit.kube.steps import Step, ordered
from meshkit.meshes.base import Mesh, MeshPlanner
from meshkit.meshes.model.registry import NEWEST
from meshkit.meshes.routing import destinations, live


def steps_of(intents: Iterable[Intent], snapshot: Snapshot, planner: MeshPlanner) -> tuple[Step, ...]:
    """The steps of all intents, in order.

    Two Routes for ports of one Service share objects, so each is planned over what those before it write
    first: what a Route removes at last, requests of the other port may still need.
    """
    steps: list[Step] = []
    for intent in intents:
        planned = planner.plan(intent, snapshot)
        if isinstance(intent, Route):
            snapshot = after(snapshot, _first_of_each_object(planned))
            steps = [step for step in steps if not any(map(step.is_replaced_by, planned))]
        steps += planned
    return ordered(steps)


def _first_of_each_object(steps: Sequence[Step]) -> Sequence[Step]:
    first: dict[tuple[str, ...], Step] = {}
    for step in steps:
        first.setdefault(identity(step.object), step)
    return tuple(first.values())


def needs_of(intents: Iterable[Intent], row: Mesh, home: str) -> Iterator[Need]:
    """The objects that plans of the intents, and the checks before them, read.

    ``home`` is the control plane's namespace.
    """
    for intent in intents:
        yield from row.planner.needs(intent)
        yield from row.intent_checks.needs(intent) if row.intent_checks else ()
        if isinstance(intent, Route):
            yield from live.needs(row, intent.namespace, home)
            yield from destinations.needs(row, intent.namespace)


def after(snapshot: Snapshot, steps: Sequence[Step]) -> Snapshot:
    """The Snapshot with the objects that these steps apply as a whole."""
    objects = {identity(obj): obj for obj in snapshot.objects}
    for step in steps:
        if not step.partial and not step.removed:
            objects[identity(step.object)] = _applied(objects.get(identity(step.object)), step.object)
    return Snapshot(tuple(objects.values()), snapshot.unread)


def _applied(present: Object | None, wanted: Object) -> Object:
    meta = present["metadata"] if present else {"creationTimestamp": NEWEST}
    return {**(present or {}), **wanted, "metadata": {**meta, **wanted["metadata"]}}
