"""Take a change back: every object as the journal found it, again there when the change took it away, or gone
when it was not there.

Everything is looked at before anything is touched: an object that someone else has changed since stops the
undo. A namespace or a CustomResourceDefinition that holds objects of others stays. Who owned which field is
put back too, in a request of its own: the server gives changed fields to whoever changes them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.cluster import field_undo as parts
from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.deletion import held, remove, stays
from meshkit.cluster.diff import content, digest
from meshkit.cluster.executor import Progress, Report, last_writer
from meshkit.cluster.helm import Helm, verbs, wait_for
from meshkit.cluster.journal import NAMESPACE
from meshkit.cluster.rights import Right
from meshkit.errors import Conflict, ManualActionRequired, Rejected
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.metadata import title
from meshkit.kube.steps import RESTART_MANAGER, Wait
from meshkit.kube.workloads import RESTART_ANNOTATION

_ATTEMPTS = 10
RESTART_MARK = parts.pointer_to("spec", "template", "metadata", "annotations", RESTART_ANNOTATION)


@dataclass(frozen=True)
class Restoration:
    """One object: its state before the change (None: there was none), the hash of what the change left."""

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
    """What the change wrote into an object of somebody else; empty where the object was its own."""

    @property
    def removed(self) -> bool:
        """Whether the change took the object away."""
        return not self.after

    @property
    def title(self) -> str:
        """Kind and name, as a person reads them."""
        meta = {"name": self.name, "namespace": self.namespace}
        return title({"kind": self.kind.kind, "metadata": meta})


def restorations(api: Api, *changes: Sequence[Mapping[str, Any]]) -> list[Restoration]:
    """What undoing these changes (the records of each, the oldest first) takes, in order: the last step
    first, restarts at the end.

    Steps that the server refused have changed nothing. An object that was changed twice goes back to its
    first state at once. Pods are made anew by a restart, so what decides over them (the namespace's labels)
    is put back before, also where another change wrote it.
    """
    by_object: dict[tuple[str, str | None, str], list[Mapping[str, Any]]] = {}
    place: dict[tuple[str, str | None, str], tuple[int, int]] = {}
    for number, records in enumerate(changes):
        refused = {record["index"] for record in records if record["event"] == "refused"}
        for record in records:
            if record["event"] == "step" and record["index"] not in refused:
                key = (record["kind"], record["namespace"], record["name"])
                by_object.setdefault(key, []).append({**record, "salt": records[0]["salt"]})
                place[key] = (-number, -record["index"])
    found = [(place[key], _restoration(api, steps)) for key, steps in by_object.items()]
    return [one for _, one in sorted(found, key=lambda pair: (pair[1].restart, pair[0]))]


def _restoration(api: Api, steps: Sequence[Mapping[str, Any]]) -> Restoration:
    first, last = steps[0], steps[-1]
    prior = first["prior"]
    if prior and "secret" in prior:
        prior = _kept_secret(api, prior["secret"])
    return Restoration(
        kind=Kind(first["api_version"], first["kind"]),
        name=first["name"],
        namespace=first["namespace"],
        prior=prior,
        after=last["after"],
        restart=last["manager"] == RESTART_MANAGER,
        wait=Wait(*last["wait"]) if last["wait"] else None,
        managers=frozenset(step["manager"] for step in steps),
        salt=last["salt"],
        fields=_fields(steps),
    )


def _fields(steps: Sequence[Mapping[str, Any]]) -> parts.Left:
    """The fields that all steps on one object wrote; none where one of them wrote the whole of it."""
    if not all(step.get("fields") for step in steps):
        return {}
    return {pointer: (left, step["salt"]) for step in steps for pointer, left in step["fields"].items()}


def _kept_secret(api: Api, name: str) -> dict[str, Any]:
    """The prior state of a Secret. Its loss must never read as "there was none"."""
    copy = api.get(Kind("v1", "Secret"), name, NAMESPACE)
    if copy is None:
        raise ManualActionRequired(
            f"The prior state of a Secret, kept in {NAMESPACE}/{name}, is gone.",
            remedy="Nothing was changed. Restore that Secret by hand.",
        )
    prior: dict[str, Any] = json.loads(base64.b64decode(copy["data"]["object"]))
    return prior


def rights_for(api: Api, wanted: Sequence[Restoration]) -> set[Right]:
    """What putting the objects back takes."""
    rights: set[Right] = set()
    for one in wanted:
        resource = api.resource(one.kind)
        if resource:
            verbs: tuple[str, ...] = ("get", "patch") if one.prior else ("get", "delete")
            verbs += ("create",) if one.removed else ()
            rights |= {Right(verb, one.kind.group, resource.plural, one.namespace) for verb in verbs}
    return rights


def require_untouched(cluster: Cluster, wanted: Sequence[Restoration]) -> None:
    """Raise ``ManualActionRequired`` naming every object that someone else has changed since."""
    touched = []
    for one in wanted:
        live = verbs(cluster, one.kind).get(one.kind, one.name, one.namespace)
        by = _changed_by(one, live)
        if by:
            touched.append(f"{one.title} ({by})")
    if touched:
        raise ManualActionRequired(
            f"Changed since by others: {'; '.join(touched)}.",
            remedy="Nothing was changed. Settle these by hand, then undo again.",
        )


def _changed_by(one: Restoration, live: Object | None) -> str:
    """Who has changed since what the change wrote; empty where nobody has. A restart is made again anyway."""
    if one.fields and one.prior is not None:
        if live is None:
            return ""
        asked = {pointer: left for pointer, left in one.fields.items() if pointer != RESTART_MARK}
        changed = parts.changed_since(live, one.prior, asked)
        names = dict.fromkeys(name for pointer in changed for name in parts.owners(live, pointer))
        return f"by {', '.join(names) or 'an unknown manager'}" if changed else ""
    if digest(live, one.salt) in (one.after, digest(one.prior, one.salt)):
        return ""
    return "deleted" if live is None else f"by {last_writer(live)}"


def restore(cluster: Cluster, wanted: Sequence[Restoration], report: Report) -> list[str]:
    """Put the objects back; returns a sentence for each that stays on purpose."""
    kept: list[str] = []
    for index, one in enumerate(wanted, start=1):
        report(Progress(one.title, index, len(wanted), "applying"))
        live = verbs(cluster, one.kind).get(one.kind, one.name, one.namespace)
        if one.prior is None and live is not None:
            kept += _delete(cluster, one, live)
        elif one.prior is not None and _restored(cluster, one, live, one.prior) and one.wait:
            report(Progress(one.title, index, len(wanted), "waiting"))
            wait_for(cluster, one.kind, one.name, one.namespace, one.wait)
        report(Progress(one.title, index, len(wanted), "done"))
    return kept


def _restored(cluster: Cluster, one: Restoration, live: Object | None, prior: Object) -> bool:
    """Put an object back into its prior state; whether there was anything to do."""
    if live is None:
        # What the change left and somebody deleted since stays away.
        if not one.removed:
            return False
        _bring_back(cluster, one, prior)
    elif one.fields:
        return _part_put_back(cluster.api, one, prior)
    elif content(live) != content(prior):
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
    """Make again what the change took away: first the object, then who owned its fields."""
    if one.kind == RELEASE:
        Helm(cluster).bring_back(prior)
        return
    cluster.api.create(content(prior))
    _give_back_owners(cluster.api, one, prior)


def _put_back(cluster: Cluster, one: Restoration, live: Object, prior: Object) -> None:
    """First the values, then who owned them."""
    if one.kind == RELEASE:
        Helm(cluster).roll_back(one.name, one.namespace or "", prior["metadata"]["resourceVersion"])
        return
    seen = digest(live)

    def ops(found: Object) -> list[dict[str, Any]]:
        _require_digest(one, found, seen)
        return _differences(content(found), content(prior), "")

    _patch(cluster.api, one, ops)
    _give_back_owners(cluster.api, one, prior)


def _give_back_owners(api: Api, one: Restoration, prior: Object) -> None:
    def ops(found: Object) -> list[dict[str, Any]]:
        _require_digest(one, found, digest(prior))
        return [{"op": "add", "path": "/metadata/managedFields", "value": _owners(found, prior)}]

    _patch(api, one, ops)


def _require_digest(one: Restoration, found: Object, expected: str) -> None:
    """A status written meanwhile does no harm; anything else does."""
    if digest(found) != expected:
        raise ManualActionRequired(f"{one.title} was changed during the undo.", remedy="Settle it by hand.")


def _part_put_back(api: Api, one: Restoration, prior: Object) -> bool:
    """Give fields of somebody else's object their prior values, then their owners; whether any differed."""
    if not _patch(api, one, lambda found: _part_ops(one, found, prior)):
        return False

    def owners(found: Object) -> list[dict[str, Any]]:
        value = parts.owners_back(found, prior, one.managers, one.fields)
        return [{"op": "add", "path": "/metadata/managedFields", "value": value}]

    _patch(api, one, owners)
    return True


def _part_ops(one: Restoration, found: Object, prior: Object) -> list[dict[str, Any]]:
    """A restart that was followed by another is made once more: pods are what it is about, not the mark."""
    mark = {pointer: left for pointer, left in one.fields.items() if pointer == RESTART_MARK}
    if one.restart and parts.changed_since(found, prior, mark):
        return [parts.set_to(found, RESTART_MARK, str(found["metadata"]["generation"]))]
    return parts.put_back(found, prior, one.fields)


def _patch(api: Api, one: Restoration, ops: Callable[[Object], list[dict[str, Any]]]) -> bool:
    """Patch the object as it is now; whether there was anything to do. ``ops`` raises where it may not be."""
    attempts = 0
    while True:
        live = api.get(one.kind, one.name, one.namespace)
        if live is None:
            raise ManualActionRequired(
                f"{one.title} was deleted during the undo.", remedy="Settle it by hand."
            )
        wanted = ops(live)
        if not wanted:
            return False
        version = live["metadata"]["resourceVersion"]
        same = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            api.json_patch(one.kind, one.name, one.namespace, [same, *wanted])
            return True
        except (Rejected, Conflict) as error:
            attempts += 1
            if attempts == _ATTEMPTS or error.status not in (409, 422):
                raise


def _differences(now: Mapping[str, Any], before: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """JSON patch operations for every part that differs; lists are replaced whole."""
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
    """Who owned what before, and beside it those who came since (controllers: the content was not theirs)."""
    before = list(prior["metadata"].get("managedFields") or ())
    known = {parts.entry_key(entry) for entry in before}
    later = [
        entry
        for entry in live["metadata"].get("managedFields") or ()
        if parts.entry_key(entry) not in known and not entry["manager"].startswith("meshkit")
    ]
    return [*before, *later]
