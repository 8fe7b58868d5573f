"""Undo changes: restore every object to its state in the journal, or delete it if it did not exist.

All objects are checked before any is changed: an object that others have changed since stops the undo. A
namespace or CustomResourceDefinition that contains objects of others is kept. Field ownership is restored by
a separate request, because the server assigns changed fields to the manager of the request. What a change
did side by side, its undo does side by side.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.cluster import field_undo as parts
from meshkit.cluster.api import OBJECTS_AT_ONCE, Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.deletion import held, remove, stays
from meshkit.cluster.diff import content, digest
from meshkit.cluster.executor import Progress, Report
from meshkit.cluster.helm import Helm, client_for, settled, wait_for, without_history
from meshkit.cluster.journal import NAMESPACE, reading_records
from meshkit.cluster.rights import Right
from meshkit.cluster.steps import reading, side_by_side
from meshkit.cluster.steps.as_shown import last_writer
from meshkit.errors import Conflict, ManualActionRequired, Rejected
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.metadata import title
from meshkit.kube.steps import RESTART_MANAGER, Wait
from meshkit.kube.workloads import RESTART_ANNOTATION

_ATTEMPTS = 10
RESTART_MARK = parts.pointer_to("spec", "template", "metadata", "annotations", RESTART_ANNOTATION)

_NOT_AWAITED = ("accepted",)
"""The conditions that an undo does not wait for: the object may not have met them before the change."""


@dataclass(frozen=True)
class Restoration:
    """The undo of one object: its state before the change (None: it did not exist) and the hash after it."""

    kind: Kind
    name: str
    namespace: str | None
    prior: Object | None
    after: str
    restart: bool
    wait: Wait | None
    managers: frozenset[str]
    salt: str
    fields: parts.Left
    """The fields that the change wrote to an object of others; empty if meshkit owns the object."""
    settle_s: float = 0.0
    """How long proxies may take to learn that no other object refers to this one any more, in seconds."""
    renewed: bool = False
    """Whether a control plane writes the object by itself: it is left as it is if it exists again."""
    wave: tuple[int, int] = (0, 0)
    """The number of the change and that of its wave; restorations of one wave go side by side. A wave of 0:
    this one is alone."""

    @property
    def removed(self) -> bool:
        """Whether the change deleted the object."""
        return not self.after

    @property
    def title(self) -> str:
        """Kind and name of the object."""
        meta = {"name": self.name, "namespace": self.namespace}
        return title({"kind": self.kind.kind, "metadata": meta})


def restorations(api: Api, *changes: Sequence[Mapping[str, Any]]) -> list[Restoration]:
    """The restorations that undo these changes (records of each, oldest first), in the order to apply.

    The last step is undone first. Steps that the server refused have changed nothing. An object that was
    changed twice is restored directly to its first state, unless others came to refer to it in between: then
    it is restored step by step. Restarts come last because new pods depend on restored objects, such as the
    labels of their namespace, also if another change wrote these.
    """
    with reading_records("this change"):
        return _restorations(api, *changes)


def _restorations(api: Api, *changes: Sequence[Mapping[str, Any]]) -> list[Restoration]:
    by_object: dict[tuple[str, str | None, str], list[list[Mapping[str, Any]]]] = {}
    for number, records in enumerate(changes):
        refused = {record["index"] for record in records if record.get("event") == "refused"}
        left = {record["index"]: record["after"] for record in records if record.get("event") == "left"}
        for record in records:
            if record.get("event") == "step" and record["index"] not in refused:
                stages = by_object.setdefault((record["kind"], record["namespace"], record["name"]), [])
                if not stages or stages[-1][-1].get("settle_s"):
                    stages.append([])
                place = (-number, -record["index"])
                after = left.get(record["index"], record["after"])
                stages[-1].append({**record, "after": after, "salt": records[0]["salt"], "place": place})
    found = [
        (steps[-1]["place"], _restoration(api, steps)) for stages in by_object.values() for steps in stages
    ]
    return [one for _, one in sorted(found, key=lambda pair: (pair[1].restart, pair[0]))]


def _restoration(api: Api, steps: Sequence[Mapping[str, Any]]) -> Restoration:
    first, last = steps[0], steps[-1]
    prior = first["prior"]
    restart = last["manager"] == RESTART_MANAGER
    wait = Wait(*last["wait"]) if last["wait"] and last["wait"][0] not in _NOT_AWAITED else None
    if prior and "secret" in prior:
        prior = _kept_secret(api, prior["secret"])
    if prior is not None and not (isinstance(prior, dict) and isinstance(prior.get("metadata"), dict)):
        raise TypeError("the prior state is no object")
    return Restoration(
        kind=Kind(first["api_version"], first["kind"]),
        name=first["name"],
        namespace=first["namespace"],
        prior=prior,
        after=last["after"],
        restart=restart,
        wait=wait,
        managers=frozenset(step["manager"] for step in steps),
        salt=last["salt"],
        fields=_fields(steps),
        settle_s=last.get("settle_s", 0.0),
        renewed=bool(last.get("renewed")),
        wave=(last["place"][0], 0 if restart or wait else last.get("wave", 0)),
    )


def _fields(steps: Sequence[Mapping[str, Any]]) -> parts.Left:
    """The fields that all steps on an object wrote; none if one of the steps owns the whole object."""
    if not all(step.get("fields") for step in steps):
        return {}
    return {pointer: (left, step["salt"]) for step in steps for pointer, left in step["fields"].items()}


def _kept_secret(api: Api, name: str) -> dict[str, Any]:
    """Read the prior state of a Secret. A missing copy is an error and never means that there was none."""
    copy = api.get(Kind("v1", "Secret"), name, NAMESPACE)
    if copy is None:
        raise ManualActionRequired(
            f"The prior state of a Secret is missing: the copy {NAMESPACE}/{name} does not exist.",
            remedy="Nothing was changed. Restore that Secret by hand.",
        )
    prior: dict[str, Any] = json.loads(base64.b64decode(copy["data"]["object"]))
    return prior


def rights_for(api: Api, wanted: Sequence[Restoration]) -> set[Right]:
    """The permissions to restore the objects."""
    rights: set[Right] = set()
    for one in wanted:
        resource = api.resource(one.kind)
        if resource:
            verbs: tuple[str, ...] = ("get", "patch") if one.prior else ("get", "delete")
            verbs += ("create",) if one.removed else ()
            rights |= {Right(verb, one.kind.group, resource.plural, one.namespace) for verb in verbs}
    return rights


def require_untouched(cluster: Cluster, wanted: Sequence[Restoration]) -> None:
    """Raise ``ManualActionRequired``, which lists all objects that others have changed since.

    An object that is restored step by step may be in the state before or after any of these steps.
    """
    by_object: dict[tuple[Kind, str | None, str], list[Restoration]] = {}
    for one in wanted:
        by_object.setdefault((one.kind, one.namespace, one.name), []).append(one)
    touched = []
    present = reading.read(cluster, [reading.Place(*place) for place in by_object])
    for steps, live in zip(by_object.values(), present, strict=True):
        changed = [_changed_by(step, live) for step in steps]
        if all(changed):
            touched.append(f"{steps[0].title} ({changed[0]})")
    if touched:
        raise ManualActionRequired(
            f"Changed since by others: {'; '.join(touched)}.",
            remedy="Nothing was changed. Resolve these by hand, then undo again.",
        )


def _changed_by(one: Restoration, live: Object | None) -> str:
    """Who has changed the fields of the change since, or empty.

    Restarts are repeated, so they are ignored. An undo that stopped half way has left some objects as they
    were before the change, and a release perhaps failed; both are its own work.
    """
    if one.fields and one.prior is not None:
        if live is None:
            return ""
        asked = {pointer: left for pointer, left in one.fields.items() if pointer != RESTART_MARK}
        changed = parts.changed_since(live, one.prior, asked)
        names = dict.fromkeys(name for pointer in changed for name in parts.owners(live, pointer))
        return f"by {', '.join(names) or 'an unknown manager'}" if changed else ""
    if one.renewed or digest(settled(live), one.salt) in (one.after, digest(settled(one.prior), one.salt)):
        return ""
    return "deleted" if live is None else f"by {last_writer(live)}"


def restore(cluster: Cluster, wanted: Sequence[Restoration], report: Report) -> list[str]:
    """Restore the objects; return a message for each that is kept on purpose."""
    kept: list[str] = []
    for batch in _batches(wanted):
        index, first = batch[0]
        settle_s = max(one.settle_s for _, one in batch)
        if settle_s and index > 1:
            report(Progress(first.title, index, len(wanted), "waiting"))
            time.sleep(settle_s)
        if len(batch) == 1:
            report(Progress(first.title, index, len(wanted), "applying"))
            live = client_for(cluster, first.kind).get(first.kind, first.name, first.namespace)
            kept += _restore(cluster, index, len(wanted), first, live, report)
        else:
            kept += _restore_together(cluster, batch, len(wanted), report)
        for number, one in batch:
            report(Progress(one.title, number, len(wanted), "done"))
    return kept


def _batches(wanted: Sequence[Restoration]) -> Iterator[list[tuple[int, Restoration]]]:
    """The restorations with their numbers from 1; those of one wave, of different objects, together."""
    batch: list[tuple[int, Restoration]] = []
    places: set[tuple[Kind, str | None, str]] = set()
    for numbered in enumerate(wanted, start=1):
        one = numbered[1]
        place = (one.kind, one.namespace, one.name)
        alone = not one.wave[1] or one.wave != batch[-1][1].wave if batch else False
        if batch and (alone or place in places or len(batch) == OBJECTS_AT_ONCE):
            yield batch
            batch, places = [], set()
        batch.append(numbered)
        places.add(place)
    if batch:
        yield batch


def _restore_together(
    cluster: Cluster, batch: Sequence[tuple[int, Restoration]], total: int, report: Report
) -> list[str]:
    """Restore different objects, several at a time. Those that were begun end before an error is raised."""
    live = reading.read(cluster, [reading.Place(one.kind, one.namespace, one.name) for _, one in batch])
    items = [(number, one, found) for (number, one), found in zip(batch, live, strict=True)]
    done = side_by_side.run(
        items,
        lambda item: report(Progress(item[1].title, item[0], total, "applying")),
        lambda item: _restore(cluster, item[0], total, item[1], item[2], lambda _: None),
    )
    if done.failed is not None:
        raise done.failed
    return [text for number in sorted(done.results) for text in done.results[number]]


def _restore(
    cluster: Cluster, index: int, total: int, one: Restoration, live: dict[str, Any] | None, report: Report
) -> list[str]:
    """Restore one object, whose present state is ``live``, and wait for its condition."""
    if one.prior is None:
        return _delete(cluster, one, live) if live is not None else []
    if _restored(cluster, one, live, one.prior) and one.wait:
        report(Progress(one.title, index, total, "waiting"))
        wait_for(cluster, one.kind, one.name, one.namespace, one.wait)
    return []


def _restored(cluster: Cluster, one: Restoration, live: dict[str, Any] | None, prior: Object) -> bool:
    """Restore an object to its prior state; return whether anything had to be changed."""
    if live is None:
        # An object that others have deleted since the change is not created again.
        if not one.removed:
            return False
        _bring_back(cluster, one, prior)
    elif one.renewed:
        return False
    elif one.fields:
        return _part_put_back(cluster.api, one, prior, live)
    elif one.kind == RELEASE and one.removed:
        return Helm(cluster).bring_back_rest(prior, live)
    elif content(live) != content(without_history(prior)):
        _put_back(cluster, one, live, prior)
    else:
        return False
    return True


def _delete(cluster: Cluster, one: Restoration, live: Object) -> list[str]:
    inside = held(cluster, live)
    if inside:
        return [stays(one.title, inside)]
    remove(cluster, live)
    return []


def _bring_back(cluster: Cluster, one: Restoration, prior: Object) -> None:
    """Create an object again that the change deleted, then restore the ownership of its fields."""
    if one.kind == RELEASE:
        Helm(cluster).bring_back(prior)
        return
    _give_back_owners(cluster.api, one, prior, cluster.api.create(content(prior)))


def _put_back(cluster: Cluster, one: Restoration, live: dict[str, Any], prior: Object) -> None:
    """Restore the values of an object, then the ownership of its fields."""
    if one.kind == RELEASE:
        Helm(cluster).roll_back(one.name, one.namespace or "", prior["metadata"]["resourceVersion"])
        return
    seen = digest(live)

    def ops(present: Object) -> list[dict[str, Any]]:
        _require_digest(one, present, seen)
        return _differences(content(present), content(prior), "")

    _give_back_owners(cluster.api, one, prior, _patch(cluster.api, one, ops, live))


def _give_back_owners(api: Api, one: Restoration, prior: Object, known: dict[str, Any] | None = None) -> None:
    def ops(present: Object) -> list[dict[str, Any]]:
        _require_digest(one, present, digest(prior))
        return [{"op": "add", "path": "/metadata/managedFields", "value": _owners(present, prior)}]

    _patch(api, one, ops, known)


def _require_digest(one: Restoration, present: Object, expected: str) -> None:
    """Raise ``ManualActionRequired`` if anything but the status has changed during the undo."""
    if digest(present) != expected:
        raise ManualActionRequired(f"{one.title} was changed during the undo.", remedy="Resolve it by hand.")


def _part_put_back(api: Api, one: Restoration, prior: Object, live: dict[str, Any]) -> bool:
    """Restore fields of an object of others, then their ownership; return whether any differed."""
    patched = _patch(api, one, lambda present: _part_ops(one, present, prior), live)
    if patched is None:
        return False

    def owners(present: Object) -> list[dict[str, Any]]:
        value = parts.owners_back(present, prior, one.managers, one.fields)
        return [{"op": "add", "path": "/metadata/managedFields", "value": value}]

    _patch(api, one, owners, patched)
    return True


def _part_ops(one: Restoration, present: Object, prior: Object) -> list[dict[str, Any]]:
    """The patch for the fields.

    A restart that others followed by another is repeated, as pods matter here.
    """
    mark = {pointer: left for pointer, left in one.fields.items() if pointer == RESTART_MARK}
    if one.restart and parts.changed_since(present, prior, mark):
        return [parts.set_to(present, RESTART_MARK, str(present["metadata"]["generation"]))]
    return parts.put_back(present, prior, one.fields)


def _patch(
    api: Api,
    one: Restoration,
    ops: Callable[[Object], list[dict[str, Any]]],
    known: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Patch the present object and return it; None if nothing had to be changed. ``ops`` raises to refuse.

    ``known`` is the object as it was seen last: the server refuses the patch if it has changed since.
    """
    attempts = 0
    while True:
        live = known or api.get(one.kind, one.name, one.namespace)
        known = None
        if live is None:
            raise ManualActionRequired(
                f"{one.title} was deleted during the undo.", remedy="Resolve it by hand."
            )
        wanted = ops(live)
        if not wanted:
            return None
        version = live["metadata"]["resourceVersion"]
        same = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            return api.json_patch(one.kind, one.name, one.namespace, [same, *wanted])
        except (Rejected, Conflict) as error:
            attempts += 1
            if attempts == _ATTEMPTS or error.status not in (409, 422):
                raise


def _differences(now: Mapping[str, Any], before: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """JSON patch operations for all differences; lists are replaced as a whole."""
    ops: list[dict[str, Any]] = []
    for key in {**now, **before}:
        place = f"{path}/{parts.escaped(key)}"
        if key not in before:
            ops.append({"op": "remove", "path": place})
        elif key not in now:
            ops.append({"op": "add", "path": place, "value": before[key]})
        elif isinstance(now[key], dict) and isinstance(before[key], dict):
            ops += _differences(now[key], before[key], place)
        elif now[key] != before[key]:
            ops.append({"op": "replace", "path": place, "value": before[key]})
    return ops


def _owners(live: Object, prior: Object) -> list[Mapping[str, Any]]:
    """The prior managedFields entries, plus those of managers that came since (controllers)."""
    before = list(prior["metadata"].get("managedFields") or ())
    known = {parts.entry_key(entry) for entry in before}
    later = [
        entry
        for entry in live["metadata"].get("managedFields") or ()
        if parts.entry_key(entry) not in known and not entry["manager"].startswith("meshkit")
    ]
    return [*before, *later]
