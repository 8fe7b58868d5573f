"""Plan several intents together, and the Snapshot that a plan leads to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from meshkit.facts import Need, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import annotations_of, identity
from meshkit.kube.steps import Step, ordered
from meshkit.meshes.base import Mesh, MeshPlanner
from meshkit.meshes.model.registry import NEWEST
from meshkit.meshes.ownership import MANAGER
from meshkit.meshes.routing import destinations, live, policy_fields


def steps_of(intents: Iterable[Intent], snapshot: Snapshot, planner: MeshPlanner) -> tuple[Step, ...]:
    """The steps of all intents, in order.

    Two Routes for ports of one Service share objects, so each is planned over what those before it write
    first: what a Route removes at last, requests of the other port may still need. DestinationPolicies share
    objects with Routes, and are planned over what these write. Egresses of one namespace share objects, too.
    """
    placed: list[_Placed] = []
    whole: set[tuple[object, ...]] = set()
    wanted = tuple(intents)
    seen = snapshot
    run = 0
    for before, intent in zip((None, *wanted), wanted, strict=False):
        if isinstance(intent, DestinationPolicy):
            continue
        planned = planner.plan(intent, seen)
        if isinstance(intent, Egress):
            seen = after(seen, planned)
            placed = [one for one in placed if one.step not in planned]  # what is written again comes last
        if not isinstance(intent, Route):
            placed += (_Placed(step, 0, 0) for step in planned)
            continue
        run += not isinstance(before, Route)
        seen = after(seen, _first_of_each_object(planned))
        again = {_key(step) for step in planned if not step.partial and not step.removed}
        if not whole.isdisjoint(again):
            placed = [one for one in placed if not _is_written_by(one.step, again)]
        whole |= again
        placed += (_Placed(step, run, stage) for stage, step in enumerate(planned))
    steps = list(_side_by_side(placed))
    for intent in wanted:
        if isinstance(intent, DestinationPolicy):
            steps = _with_policy(steps, intent, snapshot, planner)
    return ordered(steps)


class _Placed(NamedTuple):
    """A step, the number of its row of Routes (0: none), and its place among the steps of its Route."""

    step: Step
    run: int
    stage: int


def _side_by_side(placed: Sequence[_Placed]) -> Iterator[Step]:
    """The steps, those of Routes that follow each other in waves: their first steps, their second ones, ...

    Each Route's own order is kept, and what the rules of one Route refer to is there before them, also if it
    is another Route's.
    """
    wave = max((one.step.wave for one in placed), default=0)
    for run, row in groupby(placed, key=lambda one: one.run):
        if not run:
            yield from (one.step for one in row)
            continue
        for _, stage in groupby(sorted(row, key=lambda one: one.stage), key=lambda one: one.stage):
            together = [one.step for one in stage]
            wave += 1
            yield from together if len(together) == 1 else (replace(step, wave=wave) for step in together)


def _key(step: Step) -> tuple[object, ...]:
    return step.kind, step.namespace, step.name, step.manager


def _is_written_by(step: Step, again: Collection[tuple[object, ...]]) -> bool:
    return not step.partial and not step.removed and _key(step) in again


def _with_policy(
    steps: Sequence[Step], policy: DestinationPolicy, snapshot: Snapshot, planner: MeshPlanner
) -> list[Step]:
    """The steps with those of a policy: an object that is written several times has the policy each time."""
    at_last = after(snapshot, steps)
    planned = planner.plan(policy, at_last)
    joined: list[Step] = []
    for step in steps:
        if any(map(step.is_replaced_by, planned)):
            again = planner.plan(policy, after(at_last, [step]))
            step = replace(step, object=next(each for each in again if step.is_replaced_by(each)).object)
        if not any(map(step.is_part_replaced_by, planned)):
            joined.append(step)
    return [*joined, *(each for each in planned if not any(step.is_replaced_by(each) for step in joined))]


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
        if isinstance(intent, Route | DestinationPolicy):
            yield from live.needs(row, intent.namespace, home)
            yield from destinations.needs(row, intent.namespace)
        if isinstance(intent, Egress):
            yield from (need for need in live.needs(row, intent.namespace, home) if need.namespace == home)


def after(snapshot: Snapshot, steps: Sequence[Step]) -> Snapshot:
    """The Snapshot with the objects that these steps apply as a whole."""
    written: dict[tuple[str, ...], Object] = {}
    for step in steps:
        if not step.partial and not step.removed:
            key = identity(step.object)
            written[key] = _applied(written.get(key) or snapshot.at(step.object), step.object)
    return snapshot.written(written.values())


def _applied(present: Object | None, wanted: Object) -> Object:
    meta: dict[str, Any] = dict(present["metadata"]) if present else {"creationTimestamp": NEWEST}
    held = meta.pop("annotations", None) or {}
    ours = {policy_fields.ANNOTATION, *_owned_annotations(meta)}
    others = {name: text for name, text in held.items() if name not in ours}
    if notes := {**others, **annotations_of(wanted)}:
        meta["annotations"] = notes
    own = {name: value for name, value in wanted["metadata"].items() if name != "annotations"}
    return {**(present or {}), **wanted, "metadata": {**meta, **own}}


def _owned_annotations(meta: Mapping[str, Any]) -> Iterator[str]:
    """The annotations that meshkit applied: an apply that does not repeat them removes them."""
    for entry in meta.get("managedFields") or ():
        fields = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
        if entry["manager"] == MANAGER:
            yield from (name.removeprefix("f:") for name in fields.get("f:annotations") or ())
