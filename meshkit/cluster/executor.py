"""Apply exactly the changes that were shown.

``carry_out`` reads each object again and stops if its state has changed since the check (dry_run.py), apart
from status and server-side metadata. Before it changes an object, it writes the prior state and a hash of the
new state to the journal, so that undo can detect later changes by others.

The steps of a wave go side by side: the prior states of up to ``OBJECTS_AT_ONCE`` objects are written by one
request, then these objects are changed, several at a time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from meshkit.cluster import field_undo as parts
from meshkit.cluster.api import OBJECTS_AT_ONCE, REQUESTS_AT_ONCE, Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.deletion import held, remove, stays
from meshkit.cluster.diff import digest
from meshkit.cluster.helm import HISTORY, Helm, client_for, wait_for
from meshkit.cluster.journal import NAMESPACE, Journal
from meshkit.cluster.ready import meets, parents
from meshkit.cluster.steps import as_shown, reading, side_by_side
from meshkit.cluster.steps.dry_run import PlannedStep, place_of
from meshkit.errors import ClusterError
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import Step

_SECRET = Kind("v1", "Secret")


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

    The steps of a wave, which is of adjacent steps, go side by side. Stops at the first failure, or if
    ``judge``, which is called after each wave, raises.
    """
    run = _Run(cluster, journal, change, journal.salt(change), report, len(planned))
    kept: list[str] = []
    told: list[str] = []
    for wave in _waves(planned):
        index, first = wave[0]
        if first.step.removed:
            report(Progress(first.step.title, index, len(planned), "applying"))
            kept += _take_away(cluster, first, journal, change, index, run.salt)
            report(Progress(first.step.title, index, len(planned), "done"))
            continue
        for batch in _batches(wave):
            run.apply(batch, wave=index if len(wave) > 1 else 0)
        steps = [(number, one.step) for number, one in wave]
        told += _await_wave(cluster, steps, len(planned), report)
        judge([step for _, step in steps])
    return Outcome(tuple(kept), tuple(told))


Numbered = tuple[int, PlannedStep]
"""A step with its number from 1."""


def _waves(planned: Sequence[PlannedStep]) -> Iterator[list[Numbered]]:
    """The steps by wave, in order; a step without a wave, or that deletes, is alone."""
    wave: list[Numbered] = []
    for numbered in enumerate(planned, start=1):
        step = numbered[1].step
        if wave and (step.removed or not step.wave or step.wave != wave[-1][1].step.wave):
            yield wave
            wave = []
        wave.append(numbered)
        if step.removed:
            yield wave
            wave = []
    if wave:
        yield wave


def _batches(wave: Sequence[Numbered]) -> Iterator[list[Numbered]]:
    """The steps of a wave in groups of different objects, none of them too large."""
    batch: dict[reading.Place, Numbered] = {}
    for numbered in wave:
        place = place_of(numbered[1].step)
        if place in batch or len(batch) == OBJECTS_AT_ONCE:
            yield list(batch.values())
            batch = {}
        batch[place] = numbered
    yield list(batch.values())


class _Ready(NamedTuple):
    """A step that may be applied: its object as it is now, and as the server's dry run returned it."""

    number: int
    planned: PlannedStep
    live: dict[str, Any] | None
    after: Object
    digest: str
    """The salted hash of the object after the step, as it is in the journal."""


@dataclass
class _Run:
    """The state of one change while its steps are applied."""

    cluster: Cluster
    journal: Journal
    change: str
    salt: str
    report: Report
    total: int
    left: dict[reading.Place, str] = field(default_factory=dict)
    """The hashes of the objects as the steps so far left them."""

    def apply(self, batch: Sequence[Numbered], *, wave: int) -> None:
        """Record the prior states of different objects by one request, then apply their steps.

        ``wave`` is the number of the first step of their wave, 0 for a step alone.
        """
        if len(batch) == 1:
            self._begin(batch[0])
        ready = self._ready(batch)
        self.journal.append_together(self.change, [self._record(one, wave) for one in ready])
        begin = (lambda _: None) if len(batch) == 1 else (lambda one: self._begin((one.number, one.planned)))
        done = side_by_side.run(ready, begin, self._write)
        records = []
        for place, one in enumerate(ready):
            error = done.errors.get(place)
            if place in done.results:
                after = done.results[place]
                self.left[place_of(one.planned.step)] = digest(after)
                if _is_hashed(one.planned.step) and (now := digest(after, self.salt)) != one.digest:
                    records.append({"event": "left", "index": one.number, "after": now})
            elif error is None or (isinstance(error, ClusterError) and as_shown.was_refused(error)):
                records.append({"event": "refused", "index": one.number})
        self.journal.append_together(self.change, records)
        if done.failed is not None:
            raise done.failed

    def _begin(self, numbered: Numbered) -> None:
        index, one = numbered
        self.report(Progress(one.step.title, index, self.total, "applying"))

    def _ready(self, batch: Sequence[Numbered]) -> list[_Ready]:
        """Read the objects, and compute what each will be. Raises ``Conflict`` if one is not as shown."""
        live = reading.read(self.cluster, [place_of(one.step) for _, one in batch])
        if len(batch) == 1:
            return [self._looked(batch[0], live[0])]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return list(pool.map(self._looked, batch, live))

    def _looked(self, numbered: Numbered, live: dict[str, Any] | None) -> _Ready:
        index, one = numbered
        left = self.left.get(place_of(one.step))
        as_shown.require_same(one, live, left)
        if left is None and one.after is not None and _is_as_seen(one, live):
            after = one.after
        else:
            live, after = as_shown.apply(self.cluster, one, left, live, dry_run=True)
            if one.step.partial and left is None:
                as_shown.require_same_part(one, live, after)
        return _Ready(index, one, live, after, digest(after, self.salt))

    def _record(self, ready: _Ready, wave: int) -> dict[str, Any]:
        step = ready.planned.step
        prior = _prior(self.cluster.api, ready.live, self.change, ready.number, self.salt)
        fields = parts.written(ready.live, ready.after, self.salt) if step.partial and ready.live else {}
        return {**_record(step, ready.number, prior, ready.digest), "fields": fields, "wave": wave}

    def _write(self, ready: _Ready) -> dict[str, Any]:
        left = self.left.get(place_of(ready.planned.step))
        return as_shown.apply(self.cluster, ready.planned, left, ready.live, dry_run=False)[1]


def _is_hashed(step: Step) -> bool:
    """Whether undo compares the object of a step as a whole, as the server returns it."""
    return not step.partial and step.kind != RELEASE


def _is_as_seen(one: PlannedStep, live: Object | None) -> bool:
    """Whether nothing of an object has changed since its dry run, which then still says what it will be."""
    if one.step.kind == RELEASE or one.needs is not None:
        return False
    if live is None or one.seen is None:
        return live is None and one.seen is None
    meta = live["metadata"]
    return (meta["uid"], meta["resourceVersion"]) == (one.seen.uid, one.seen.resource_version)


def _take_away(
    cluster: Cluster, one: PlannedStep, journal: Journal, change: str, index: int, salt: str
) -> list[str]:
    """Delete an object as shown, unless it is already gone or contains objects of others."""
    step = one.step
    live = client_for(cluster, step.kind).get(step.kind, step.name, step.namespace)
    if live is None:
        return []
    if not step.renewed:
        as_shown.require_same(one, live, None)
    inside = held(cluster, live)
    if inside:
        return [stays(step.title, inside)]
    whole = Helm(cluster).whole(live) if step.kind == RELEASE else live
    prior = _prior(cluster.api, whole, change, index, salt)
    journal.append(change, _record(step, index, prior, digest(None)))
    try:
        remove(cluster, live, foreground=True)
    except ClusterError as error:
        if as_shown.was_refused(error):
            journal.append(change, {"event": "refused", "index": index})
        raise
    return []


def _await_wave(cluster: Cluster, wave: Sequence[tuple[int, Step]], total: int, report: Report) -> list[str]:
    """Wait for the conditions of a wave's steps, one after the other; their rollouts run in parallel.

    Then give proxies time to learn of its objects, unless no step follows. Returns what the parents of each
    route say of it.
    """
    told: list[str] = []
    settle_s = max(step.settle_s for _, step in wave) if wave[-1][0] < total else 0.0
    met = _met(cluster, [step for _, step in wave])
    for index, step in wave:
        if step.wait or (step.settle_s and settle_s):
            report(Progress(step.title, index, total, "waiting"))
        if step.wait:
            found = met.get(place_of(step)) or wait_for(
                cluster, step.kind, step.name, step.namespace, step.wait
            )
            if found is not None and step.wait.condition == "accepted":
                told.append(f"{step.title}: {'; '.join(parents(found))}.")
    time.sleep(settle_s)
    for index, step in wave:
        report(Progress(step.title, index, total, "done"))
    return told


def _met(cluster: Cluster, steps: Sequence[Step]) -> dict[reading.Place, Object]:
    """The objects of a larger wave that meet their conditions already, read by few requests."""
    waiting = [step for step in steps if step.wait and step.kind != RELEASE]
    if len(waiting) < 2:
        return {}
    places = [place_of(step) for step in waiting]
    return {
        place: found
        for step, place, found in zip(waiting, places, reading.read(cluster, places), strict=True)
        if found is not None and step.wait and meets(found, step.wait)
    }


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
