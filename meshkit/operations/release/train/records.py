"""The records of a train: written to its change before what they say is done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from meshkit.cluster.journal import Operation
from meshkit.errors import MeshkitError
from meshkit.operations.release.commands import TRAIN_BEGIN, TrainMailbox
from meshkit.operations.release.state.fold import DECIDED
from meshkit.operations.release.train.state import OPERATION, Decision

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.operations.clock import Clock


class TrainRecords:
    """Write the records of one run of a train; ``lock`` is that of one of its releases, always the same."""

    def __init__(
        self, begin: Mapping[str, Any], cluster: Cluster, journal: Journal, lock: Lock, clock: Clock
    ) -> None:
        self._begin, self._journal, self._lock, self._clock = begin, journal, lock, clock
        self._change_id = str(begin["change_id"])
        self._who = cluster.api.whoami()
        self._mailbox = TrainMailbox(cluster, str(begin["train"]["name"]))

    def start(self, why: str = "") -> None:
        """Start the change with its first record, or take it up."""
        if not self._journal.has(self._change_id):
            self._open(why)
        elif any(record.get("kind") == TRAIN_BEGIN for record in self._journal.records(self._change_id)):
            self._append({"kind": "taken up", "who": self._who})
        else:
            self._append(self._begin)
        if self._mailbox.change_id() != self._change_id:
            self._mailbox.open(self._begin)

    def decided(self, decision: Decision) -> None:
        """Record what becomes of all releases."""
        self._append({"kind": DECIDED, **_record(decision)})

    def end(self, decision: Decision) -> None:
        """Record the end of the train."""
        end = {"kind": "end", "state": decision.result, **_record(decision)}
        self._append(end)
        with suppress(MeshkitError):  # The train has ended, whether or not this is kept.
            self._mailbox.close({**end, "at_s": self._clock.now()})

    def _open(self, why: str) -> None:
        train = self._begin["train"]
        names = ", ".join(release["name"] for release in train["releases"])
        operation = Operation(OPERATION, self._begin["mesh"], train["name"])
        self._journal.start(operation, f"Release train {train['name']}", why or names, id=self._change_id)
        self._append(self._begin)

    def _append(self, record: Mapping[str, Any]) -> None:
        """Append a record; if others have deleted the change, begin it again from its first record."""
        if record is not self._begin and not self._journal.has(self._change_id):
            self._open("")
        stamp = {"at_s": self._clock.now(), "writer": self._lock.transitions}
        self._journal.append(self._change_id, {**record, **stamp})


def _record(decision: Decision) -> dict[str, Any]:
    return {
        "result": decision.result,
        "member": decision.member,
        "sentences": list(decision.sentences),
    }
