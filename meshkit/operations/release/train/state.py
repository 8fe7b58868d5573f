"""The state of a train: what it has decided, from its own records, and the state of each release from theirs.

The change of a train has the first record of each of its releases, so what an undo needs is known before any
release begins. Each release then has a change of its own, like one that is released alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from meshkit.cluster.journal import reading_records
from meshkit.decide.ladder import stage
from meshkit.errors import BrokenJournal, UnknownName
from meshkit.intent.train import ReleaseTrain
from meshkit.operations.release.commands import TRAIN_BEGIN, TrainMailbox, members_in, train_names
from meshkit.operations.release.state.fold import begun, fold, of_holders
from meshkit.operations.release.state.model import Ended, ReleaseState

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal

OPERATION = "release train"
"""The name of the operation in the journal."""
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """How a train ends: the result for all, and the release whose verdict or command gave the reason."""

    result: Ended
    member: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class TrainState:
    """A snapshot of a train; ``members`` are its releases in order, times are seconds since the epoch."""

    change_id: str
    train: ReleaseTrain
    mesh: str
    started_s: float
    who: str
    begins: Mapping[str, Record] = field(repr=False)
    """The first record of each release, by its name."""
    members: tuple[ReleaseState, ...] = ()
    decision: Decision | None = None
    ended_s: float | None = None
    undone_by: str = ""

    @property
    def ended(self) -> bool:
        """Whether the train is over."""
        return self.ended_s is not None

    @property
    def result(self) -> Ended | None:
        """How it ended, None if it has not; a train that was undone is rolled back."""
        if self.decision is None or not self.ended:
            return None
        return "rolled_back" if self.undone_by else self.decision.result

    @property
    def status(self) -> str:
        """The state in one word: the result, the decision, or the status of the release that is behind."""
        if self.result:
            return self.result
        if self.decision:
            return "promoting" if self.decision.result == "promoted" else "giving back"
        return min(self.members, key=lambda member: member.step).status

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sentences for people about the current state, the most important first."""
        if self.undone_by:
            return (f"The train was undone by {self.undone_by}: all weights are those from before it.",)
        if self.decision and self.decision.result == "promoted":
            done = "are promoted" if self.ended else "are being promoted"
            return (f"All {len(self.members)} releases {done}.", *self.decision.sentences)
        if self.decision:
            return (given_back_with(self.decision, self.train.name), *self.decision.sentences)
        steps = {member.step for member in self.members}
        last = max(self.members, key=lambda member: member.step)
        if max(steps) < 0:
            return ("Measuring the stable versions.",)
        at = stage(last.release, last.step)
        if len(steps) == 1:
            return (f"All {len(self.members)} releases are at {at}.",)
        behind = [member.release.name for member in self.members if member.step < last.step]
        return (f"{last.release.name} is at {at}; {', '.join(behind)} will follow.",)

    def as_record(self) -> dict[str, Any]:
        """The state as a JSON-ready mapping."""
        return {
            "train": self.train.name,
            "status": self.status,
            "ended": self.ended,
            "change": self.change_id,
            "sentences": list(self.sentences),
            "started_s": self.started_s,
            "ended_s": self.ended_s,
            "releases": [
                {
                    "release": member.release.name,
                    "namespace": member.release.namespace,
                    "service": member.release.service,
                    "status": member.status,
                    "step": member.step,
                    "asked_percent": member.asked_percent,
                    "change": member.change_id,
                    "sentences": list(member.sentences),
                }
                for member in self.members
            ],
        }


def given_back_with(decision: Decision, train: str) -> str:
    """Why a release that is not worse itself is given back."""
    done = "was rolled back" if decision.result == "rolled_back" else "is undecided"
    return f"Release {decision.member} of train {train} {done}, and with it all others."


def train_state(name: str, cluster: Cluster) -> TrainState:
    """Read a snapshot of the latest run of a train. Raises ``UnknownName`` if there is none.

    If the records of the train were deleted, its first and its last one are those that the ConfigMap of its
    name keeps.
    """
    from meshkit.cluster.journal import Journal

    journal, mailbox = Journal(cluster), TrainMailbox(cluster, name)
    begin = mailbox.begin()
    if begin is None or not members_in(begin):
        raise UnknownName("train", name, train_names(cluster))
    try:
        state = folded(journal.records(str(begin["change_id"])))
    except (UnknownName, BrokenJournal):
        state = folded(filter(None, (begin, mailbox.end())))
    return replace(state, members=tuple(_member(state.begins[each], journal) for each in state.train.names))


def running_train(name: str, cluster: Cluster) -> TrainState | None:
    """Read the latest run of a train if it has not ended, else return None."""
    try:
        state = train_state(name, cluster)
    except UnknownName:
        return None
    return None if state.ended else state


def trains(cluster: Cluster) -> list[TrainState]:
    """The latest run of every train of a cluster, newest first."""
    found = [train_state(name, cluster) for name in train_names(cluster)]
    return sorted(found, key=lambda state: state.started_s, reverse=True)


def has_begun(record: Record, journal: Journal) -> bool:
    """Whether a release has begun, by the first record that its train has of it."""
    change = str(record["change_id"])
    return journal.has(change) and any(each.get("kind") == record["kind"] for each in journal.records(change))


def _member(record: Record, journal: Journal) -> ReleaseState:
    return fold(journal.records(str(record["change_id"]))) if has_begun(record, journal) else begun(record)


def folded(records: Iterable[Record]) -> TrainState:
    """Fold the records of a train into its state, without its members.

    Raises ``BrokenJournal`` for a record without the fields of its kind.
    """
    with reading_records("this train"):
        state: TrainState | None = None
        for record in of_holders(records):
            state = _begun(record) if record.get("kind") == TRAIN_BEGIN else _after(state, record)
        if state is None:
            raise ValueError("it has not begun")
        return state


def _begun(record: Record) -> TrainState:
    train, begins = ReleaseTrain(**record["train"]), record["members"]
    if set(begins) != set(train.names):
        raise ValueError("its releases are not those of the train")
    at_s = float(record["at_s"])
    return TrainState(str(record["change_id"]), train, str(record["mesh"]), at_s, str(record["who"]), begins)


def _after(state: TrainState | None, record: Record) -> TrainState | None:
    """The state after one more record; records before the first, and of an unknown kind, change nothing."""
    if state is None:
        return None
    match record.get("kind"):
        case "decided" if state.decision is None:
            return replace(state, decision=_decision(record))
        case "end":
            return replace(state, decision=_decision(record), ended_s=float(record["at_s"]))
        case "undone":
            return replace(state, undone_by=str(record["who"]))
    return state


def _decision(record: Record) -> Decision:
    if record["result"] not in get_args(Ended):
        raise ValueError("its result is none")
    sentences = tuple(map(str, record["sentences"]))
    return Decision(cast(Ended, record["result"]), str(record["member"]), sentences)
