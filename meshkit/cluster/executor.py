"""Check steps against the API server, then apply exactly the changes that were shown.

``check`` dry-runs every object and records its state. ``carry_out`` reads each object again and stops if the
state has changed (apart from status and server-side metadata). Before it changes an object, it writes the
prior state and a hash of the new state to the journal, so that undo can detect later changes by others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from meshkit.cluster import field_undo as parts
from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.deletion import held, remove, stays
from meshkit.cluster.diff import FieldChange, changes, digest
from meshkit.cluster.helm import HISTORY, Helm, client_for, wait_for
from meshkit.cluster.journal import NAMESPACE, Journal
from meshkit.cluster.ready import parents
from meshkit.errors import ClusterError, Conflict, Rejected
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import Step

_THREADS = 8
_ATTEMPTS = 10
_SECRET = Kind("v1", "Secret")

Action = Literal["create", "change", "keep", "remove"]


@dataclass(frozen=True)
class Progress:
    """The progress of a change: the step's title, its number from 1, the number of steps and the state."""

    title: str
    index: int
    total: int
    state: Literal["applying", "waiting", "done"]

    def __str__(self) -> str:
        return f"{self.index}/{self.total}  {self.state}  {self.title}"


Report = Callable[[Progress], None]
Judge = Callable[[Sequence[Step]], None]
"""Evaluates the cluster after a wave of steps, and raises to have the change undone."""


@dataclass(frozen=True)
class Seen:
    """The state of an object when it was checked."""

    uid: str
    resource_version: str
    digest: str


@dataclass(frozen=True)
class PlannedStep:
    """A step, its field changes, and the state of the object they apply to (``seen`` None: no object)."""

    step: Step
    action: Action
    changes: tuple[FieldChange, ...] = ()
    seen: Seen | None = None
    needs: Step | None = None
    """The step that creates this object's namespace or kind; the server can check this step only after it."""
    warnings: tuple[str, ...] = ()
    """The warnings of the server about the object."""
    after: Object | None = field(default=None, repr=False, compare=False)
    """The object as the server's dry run returned it; None if it was not dry-run, and for a Secret."""


def check(cluster: Cluster, steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
    """Dry-run every step that the server can check. Raises the error of the first step that it refuses."""
    with ThreadPoolExecutor(_THREADS) as pool:
        live = list(pool.map(lambda s: client_for(cluster, s.kind).get(s.kind, s.name, s.namespace), steps))
        new = [step for step, found in zip(steps, live, strict=True) if found is None]
        pairs = zip(steps, live, strict=True)
        return tuple(_continued(list(pool.map(lambda pair: _check(cluster, pair[0], pair[1], new), pairs))))


def _continued(planned: Sequence[PlannedStep]) -> Iterator[PlannedStep]:
    """Compare a step that applies an object again with the state that the step before it leaves."""
    for number, one in enumerate(planned):
        earlier = [each for each in planned[:number] if each.step.is_replaced_by(one.step)]
        left = earlier[-1].after if earlier else None
        if left is None or one.after is None:
            yield one
            continue
        found = changes(left, one.after)
        yield replace(one, action="change" if found else "keep", changes=found)


def _check(cluster: Cluster, step: Step, live: dict[str, Any] | None, new: Iterable[Step]) -> PlannedStep:
    if step.removed:
        return PlannedStep(step, "remove", seen=_seen(live)) if live else PlannedStep(step, "keep")
    if step.kind == RELEASE:
        Helm(cluster).require_chart(step.object)
    if live is None:
        if step.partial:
            raise Rejected(f"{step.title} does not exist.", remedy="Create it first.", status=404)
        needs = next((maker for maker in new if _makes(cluster.api, maker, step)), None)
        if needs is not None:
            return PlannedStep(step, "create", changes(None, step.object), needs=needs)
    warned: list[str] = []
    client = client_for(cluster, step.kind)
    after = client.apply(
        step.object, dry_run=True, force=step.force, manager=step.manager, on_warning=warned.append
    )
    kept = None if step.kind == _SECRET else after
    if live is None:
        return PlannedStep(step, "create", changes(None, after), warnings=tuple(warned), after=kept)
    found = changes(live, after)
    action: Action = "change" if found else "keep"
    return PlannedStep(step, action, found, _seen(live), warnings=tuple(warned), after=kept)


def _makes(api: Api, maker: Step, step: Step) -> bool:
    """Whether a step creates the namespace or kind of another. A chart is assumed to create missing kinds."""
    if maker is step:
        return False
    if maker.kind == RELEASE:
        return step.kind == RELEASE or api.resource(step.kind) is None
    if maker.kind.kind == "Namespace":
        return step.namespace == maker.name
    if maker.kind.kind == "CustomResourceDefinition":
        spec = maker.object["spec"]
        return bool(step.kind.group == spec["group"] and step.kind.kind == spec["names"]["kind"])
    return False


def _seen(obj: Object) -> Seen:
    meta = obj["metadata"]
    return Seen(meta["uid"], meta["resourceVersion"], digest(obj))


class Outcome(NamedTuple):
    """What a change did besides its steps: a sentence for each object that was kept on purpose, and for each
    route with what its parents say of it."""

    kept: tuple[str, ...]
    told: tuple[str, ...]


def carry_out(
    cluster: Cluster,
    planned: Sequence[PlannedStep],
    journal: Journal,
    change: str,
    report: Report,
    judge: Judge = lambda _: None,
) -> Outcome:
    """Apply the steps in order: record each in the journal before and wait for its condition after.

    Stops at the first failure, or if ``judge``, which is called after each wave, raises.
    """
    salt = journal.salt(change)
    kept: list[str] = []
    told: list[str] = []
    left: dict[tuple[Kind, str | None, str], str] = {}
    wave: list[tuple[int, Step]] = []
    for index, one in enumerate(planned, start=1):
        step = one.step
        report(Progress(step.title, index, len(planned), "applying"))
        if step.removed:
            kept += _take_away(cluster, one, journal, change, index, salt)
            report(Progress(step.title, index, len(planned), "done"))
            continue
        key = (step.kind, step.namespace, step.name)
        live, after = _apply_as_shown(cluster, one, left.get(key), dry_run=True)
        if step.partial and key not in left:
            _require_same_part(one, live, after)
        prior = _prior(cluster.api, live, change, index, salt)
        fields = parts.written(live, after, salt) if step.partial and live else {}
        journal.append(change, {**_record(step, index, prior, digest(after, salt)), "fields": fields})
        try:
            left[key] = digest(_apply_as_shown(cluster, one, left.get(key), dry_run=False)[1])
        except ClusterError as error:
            if was_refused(error):
                journal.append(change, {"event": "refused", "index": index})
            raise
        wave.append((index, step))
        if index == len(planned) or not (step.wave and planned[index].step.wave == step.wave):
            told += _await_wave(cluster, wave, len(planned), report)
            judge([each for _, each in wave])
            wave.clear()
    return Outcome(tuple(kept), tuple(told))


def _take_away(
    cluster: Cluster, one: PlannedStep, journal: Journal, change: str, index: int, salt: str
) -> list[str]:
    """Delete an object as shown, unless it is already gone or contains objects of others."""
    step = one.step
    live = client_for(cluster, step.kind).get(step.kind, step.name, step.namespace)
    if live is None:
        return []
    if not step.renewed:
        _require_same(one, live, None)
    inside = held(cluster, live)
    if inside:
        return [stays(step.title, inside)]
    whole = Helm(cluster).whole(live) if step.kind == RELEASE else live
    prior = _prior(cluster.api, whole, change, index, salt)
    journal.append(change, _record(step, index, prior, digest(None)))
    try:
        remove(cluster, live, foreground=True)
    except ClusterError as error:
        if was_refused(error):
            journal.append(change, {"event": "refused", "index": index})
        raise
    return []


def _await_wave(cluster: Cluster, wave: Sequence[tuple[int, Step]], total: int, report: Report) -> list[str]:
    """Wait for the conditions of a wave's steps, one after the other; their rollouts run in parallel.

    Returns what the parents of each route say of it.
    """
    told: list[str] = []
    for index, step in wave:
        settle_s = step.settle_s if index < total else 0.0
        if step.wait or settle_s:
            report(Progress(step.title, index, total, "waiting"))
        if step.wait:
            found = wait_for(cluster, step.kind, step.name, step.namespace, step.wait)
            if found is not None and step.wait.condition == "accepted":
                told.append(f"{step.title}: {'; '.join(parents(found))}.")
        time.sleep(settle_s)
        report(Progress(step.title, index, total, "done"))
    return told


def was_refused(error: ClusterError) -> bool:
    """Whether the server refused the request; after any other failure it may have been executed."""
    return error.status is not None and error.status < 500


def _apply_as_shown(
    cluster: Cluster, one: PlannedStep, left: str | None, *, dry_run: bool
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Apply an object only if it is in the state that was shown; return that state and the result.

    A change of status between reading and applying changes the resourceVersion but is no reason to stop.
    """
    step = one.step
    client = client_for(cluster, step.kind)
    attempts = 0
    while True:
        live = client.get(step.kind, step.name, step.namespace)
        _require_same(one, live, left)
        try:
            pinned = _pinned(step.object, live)
            return live, client.apply(pinned, dry_run=dry_run, force=step.force, manager=step.manager)
        except Conflict as error:
            attempts += 1
            if error.managers or attempts == _ATTEMPTS:
                raise


def _require_same(planned: PlannedStep, live: Object | None, left: str | None) -> None:
    """Raise ``Conflict`` if the object is neither as shown nor as an earlier step of this change left it."""
    if left is not None:
        expected, uid = left, None
    elif planned.seen is None:
        expected, uid = "", None
    else:
        expected, uid = planned.seen.digest, planned.seen.uid
    same_uid = uid is None or (live is not None and live["metadata"]["uid"] == uid)
    if same_uid and (digest(live) == expected or (planned.step.partial and live is not None)):
        return
    title = planned.step.title
    if live is None:
        raise Conflict(f"{title} has been deleted since it was planned.", remedy="Plan again.")
    if planned.seen is None and left is None:
        raise Conflict(
            f"{title} has been created by someone else since it was planned.", remedy="Plan again."
        )
    manager = last_writer(live)
    raise Conflict(
        f"{title} has been changed since it was planned, last by {manager}.",
        remedy="Plan again to see the new difference.",
        managers={manager: ()},
    )


def _require_same_part(planned: PlannedStep, live: Object | None, after: Object) -> None:
    """Compare only the fields that the step writes, for an object that meshkit does not own.

    Changes of other fields, by an autoscaler or another user, are no reason to stop.
    """
    now = [(field.path, field.before, field.after) for field in changes(live, after)]
    if now != [(field.path, field.before, field.after) for field in planned.changes]:
        raise Conflict(
            f"{planned.step.title} has been changed since it was planned, where this would change it.",
            remedy="Plan again to see the new difference.",
        )


def last_writer(obj: Object) -> str:
    """The field manager that last wrote to an object, except its status."""
    entries = [e for e in obj["metadata"].get("managedFields") or () if e.get("subresource") != "status"]
    # Times are whole seconds; among entries of the same second the server lists the latest last.
    newest = max(reversed(entries), key=lambda e: e.get("time", ""), default=None)
    return str(newest["manager"]) if newest else "an unknown manager"


def _pinned(obj: Object, live: Object | None) -> dict[str, Any]:
    """Add uid and resourceVersion to the object, so that the server refuses any other state."""
    pins = {} if live is None else {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
    return {**obj, "metadata": {**obj["metadata"], **pins}}


def _record(step: Step, index: int, prior: object, after: str) -> dict[str, Any]:
    return {
        "event": "step",
        "index": index,
        "title": step.title,
        "api_version": step.kind.api_version,
        "kind": step.kind.kind,
        "name": step.name,
        "namespace": step.namespace,
        "manager": step.manager,
        "wait": [step.wait.condition, step.wait.timeout_s] if step.wait else None,
        "prior": prior,
        "after": after,
        "settle_s": step.settle_s,
        "renewed": step.renewed,
    }


def _prior(api: Api, live: Object | None, change: str, index: int, salt: str) -> object:
    """The journal entry for a prior state: the object; for a Secret the name of a copy and a salted hash."""
    if live is None or not (live["kind"] == "Secret" or HISTORY in live):
        return live
    name = f"prior-{change}-{index}"
    copy = {
        "apiVersion": _SECRET.api_version,
        "kind": _SECRET.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"meshkit.dev/prior-of": change}},
        "immutable": True,
        "stringData": {"object": _text(live)},
    }
    api.create(copy)
    return {"secret": name, "sha256": digest(live, salt)}


def _text(obj: Object) -> str:
    return json.dumps(obj, separators=(",", ":"))
