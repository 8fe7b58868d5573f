"""Take back what an experiment changed, from the journal, for whichever process or person asks.

A run is one change in the journal. It holds the settings in order, and the prior state of what is no object
of the API server: the load, and how workloads answered. Each change of objects is a change of its own, which
names its run. So a run whose kernel has died is taken back as completely as one that is left.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Journal, operation_of
from meshkit.cluster.lock import HELD_S, held, holder_of
from meshkit.errors import BadInput, Conflict, MeshkitError
from meshkit.operations import shop
from meshkit.operations.change import undo_together
from meshkit.operations.chaos import Chaos
from meshkit.operations.plan import Change

RUN, CHANGE = "experiment", "experiment-change"
"""The operations of a run, and of a change of objects that belongs to a run."""
_AGAIN_S = 0.5


@dataclass(frozen=True)
class OpenExperiment:
    """A run that was not taken back yet. ``holder`` is its process, or None if that has died."""

    id: str
    target: str
    """The Service, as ``namespace/name``."""
    who: str
    started: str
    why: str
    holder: str | None


def life_lock(target: str) -> str:
    """The Lease that a running experiment holds."""
    return f"experiment.{target.replace('/', '.')}"


def change_lock(target: str) -> str:
    """The Lease that is held while an experiment is changed or taken back."""
    return f"experiment-change.{target.replace('/', '.')}"


@contextlib.contextmanager
def changing(cluster: Cluster, target: str) -> Iterator[None]:
    """Be the only one that changes an experiment; wait until another's change of it is done."""
    until_s = time.monotonic() + HELD_S + 5
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(held(cluster, change_lock(target)))
            except Conflict:
                if time.monotonic() > until_s:
                    raise
            else:
                yield
                return
        time.sleep(_AGAIN_S)


def open_experiments(cluster: Cluster, target: str = "") -> list[OpenExperiment]:
    """The experiments that were not taken back, newest first; of one Service if ``target`` is given."""
    found = []
    for id, records in Journal(cluster).of_operation(RUN).items():
        first, on = records[0], operation_of(records[0]).target
        if ending(records) is None and target in ("", on):
            who, why = str(first["who"]), str(first["why"])
            holder = holder_of(cluster, life_lock(on))
            found.append(OpenExperiment(id, on, who, str(first["at"]), why, holder))
    return found


def ending(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record that says who has taken a run back, or None while it is open."""
    return next((record for record in records if record.get("state") == "undone"), None)


def stop_experiments(cluster: Cluster, id: str = "", *, why: str = "") -> list[Change]:
    """Put back what open experiments changed, whoever runs them: all of them, or one by its id.

    A process that runs such an experiment notices, and changes nothing more. Raises ``BadInput`` for an id
    that is not open, and ``ManualActionRequired`` if others have changed the same objects since; load and
    workloads are put back even then.
    """
    found = open_experiments(cluster)
    if id and id not in (each.id for each in found):
        known = ", ".join(each.id for each in found) or "none"
        raise BadInput("experiment", f"{id} is not open.", remedy=f"Open experiments: {known}.")
    return [take_back(each.id, cluster, why=why) for each in found if id in ("", each.id)]


def undo_experiment(
    change_id: str, cluster: Cluster, journal: Journal, records: Sequence[Mapping[str, Any]]
) -> Change:
    """What ``mk.undo`` does with a run."""
    del journal, records
    return take_back(change_id, cluster, why="undone")


def take_back(id: str, cluster: Cluster, *, why: str = "") -> Change:
    """Put everything that a run changed back, and end it in the journal, under the lock of its changes."""
    target = operation_of(Journal(cluster).records(id)[0]).target
    with changing(cluster, target):
        return taken_back(id, cluster, why=why)


def taken_back(id: str, cluster: Cluster, *, why: str = "") -> Change:
    """The same for a caller that holds the lock. A run that was taken back already is left as it is."""
    journal = Journal(cluster)
    records = journal.records(id)
    what = f"Undo of {records[0]['what']}"
    if ending(records) is not None:
        return Change(id, what, 0, cluster.ref)
    left = _outside_put_back(cluster, records)
    ids = _changes_of(id, journal)
    kept = undo_together(ids, cluster, what=what).kept if ids else ()
    who = cluster.api.whoami()
    journal.append(id, {"event": "end", "state": "undone", "who": who, "why": why, "left": left})
    return Change(id, what, len(ids), cluster.ref, (*kept, *left))


def _changes_of(id: str, journal: Journal) -> list[str]:
    """The changes of objects of a run that are not undone, newest first."""
    return [
        change
        for change, records in journal.of_operation(CHANGE).items()
        if operation_of(records[0]).facts.get("run") == id
        and not any(record.get("state") == "undone" for record in records)
    ]


def _outside_put_back(cluster: Cluster, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Restore load and behaviours to the first values that the run found; say what could not be reached."""
    left = []
    seen: set[str] = set()
    for record in records:
        if record["event"] != "outside" or str(record["name"]) in seen:
            continue
        seen.add(str(record["name"]))
        try:
            put_back(cluster, record)
        except MeshkitError as error:
            left.append(f"{record['name']}: {error.message}")
    return left


def put_back(cluster: Cluster, record: Mapping[str, Any]) -> None:
    """Restore one value that is no object of the API server, as the journal has it."""
    if record["name"] == "load_rps":
        shop.set_load(cluster, float(record["before"]))
    else:
        Chaos(cluster).behave(record["namespace"], record["workload"], record["before"])
