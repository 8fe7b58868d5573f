"""Give all releases of a train back together, the last one first: on an undo, after the end, or for a train
whose process has died.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput, ManualActionRequired
from meshkit.facts import ClusterRef
from meshkit.operations.plan import Change, pending
from meshkit.operations.progress import OnEvent, noop
from meshkit.operations.release import rights
from meshkit.operations.release.baseline import require_ready
from meshkit.operations.release.commands import TrainMailbox
from meshkit.operations.release.edge.places import place_of
from meshkit.operations.release.restoring.lost_journal import percent_now
from meshkit.operations.release.restoring.undo import undo_one
from meshkit.operations.release.route import route_of
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.train.commands import runner_of_train
from meshkit.operations.release.train.state import Decision, TrainState, folded, has_begun, train_state
from meshkit.operations.release.weights import same_percent

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.clock import Clock


@dataclass(frozen=True)
class TrainRollbackPlan:
    """A plan of ``mk.plan_train_rollback``; ``mk.apply`` carries it out."""

    state: TrainState
    cluster: ClusterRef
    clock: Clock = field(repr=False, compare=False)

    confirmation = ""

    @property
    def what(self) -> str:
        """What the plan does, in one line."""
        return f"Rollback of release train {self.state.train.name}"

    @property
    def empty(self) -> bool:
        """Whether the train has ended and no release has other weights than before."""
        return self.state.ended and not _moved(self.state)

    def __str__(self) -> str:
        if self.empty:
            return f"{self.what}, cluster {self.cluster}: nothing to do."
        lines = [
            f"{each.release.name}: {each.release.canary} gets {each.found_percent:g} % again"
            for each in reversed(self.state.members)
        ]
        return "\n".join((f"{self.what}, cluster {self.cluster}:", *lines))

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(0 if self.empty else len(self.state.members))

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Change:
        """Restore the weights from before the train; ``mk.apply`` calls this."""
        from meshkit.cluster.journal import Journal

        if self.empty:
            return Change("", self.what, 0, cluster.ref)
        if self.state.ended:
            _give_back(self.state, cluster, Journal(cluster), self.clock)
        else:
            self._end_here(cluster, why)
        return Change(self.state.change_id, self.what, len(self.state.members), cluster.ref)

    def _end_here(self, cluster: Cluster, why: str) -> None:
        """End a train whose process has died, as its next process would on the command ``rollback``.

        The records of a release that others have deleted are begun again from those of the train.
        """
        from meshkit.cluster.journal import Journal
        from meshkit.observe.source import observer
        from meshkit.operations.release.train.plan import locked, run_train
        from meshkit.operations.release.train.records import TrainRecords

        state, journal, who = self.state, Journal(cluster), cluster.api.whoami()
        for member in state.members:
            rights.require_rights(cluster, _routes(member), member.release)
        with locked(state.train, cluster, self.clock) as locks:
            begin = TrainMailbox(cluster, state.train.name).begin() or {}
            records = TrainRecords(begin, cluster, journal, locks[state.train.names[0]], self.clock)
            records.start()
            decision = train_state(state.train.name, cluster).decision
            if decision is None:
                first = state.train.names[0]
                sentence = f"Rolled back by {who}{why and f': {why}'}."
                decision = Decision("rolled_back", first, (sentence,))
                records.decided(decision)
            run_train(
                state.train,
                [self._taken_up(each, cluster, journal, locks[each.release.name]) for each in state.members],
                cluster,
                locks=locks,
                observer=observer(state.mesh),
                clock=self.clock,
                journal=journal,
                records=records,
                decision=decision,
            )

    def _taken_up(self, member: ReleaseState, cluster: Cluster, journal: Journal, lock: Lock) -> ReleaseState:
        from meshkit.cluster.journal import Operation
        from meshkit.operations.release.commands import Mailbox
        from meshkit.operations.release.running.start import take_up

        if member.ended:
            return member
        release, begin = member.release, self.state.begins[member.release.name]
        if not has_begun(begin, journal):
            if not journal.has(member.change_id):
                operation = Operation("release", member.mesh, release.name, {"namespace": release.namespace})
                journal.start(operation, f"Release {release.namespace}/{release.name}", id=member.change_id)
            journal.append(member.change_id, begin)
            Mailbox(cluster, release.name).open(begin)
        stamp = {"at_s": self.clock.now(), "writer": lock.transitions, "who": cluster.api.whoami()}
        return take_up(member.change_id, journal, stamp)


def plan_train_rollback(
    name: str, cluster: Cluster, *, force: bool = False, clock: Clock | None = None
) -> TrainRollbackPlan:
    """Plan to give the requests of all releases of a train back; changes nothing.

    Raises ``BadInput`` if a process runs the train, which takes the command ``rollback`` itself, and
    ``ManualActionRequired`` if a stable version has no ready pods or if others have changed weights since.
    With ``force``, pods are not asked for, and a train whose process has died is ended.
    """
    from meshkit.operations.clock import SystemClock

    state = train_state(name, cluster)
    if not state.ended:
        if holder := runner_of_train(state, cluster):
            remedy = f"Send it the command: 'meshkit release rollback {name}', mk.send_command."
            raise BadInput("rollback", f"{holder} runs train {name}.", remedy=remedy)
        if not force:
            problem = f"train {name} has not ended, but no process runs it."
            remedy = "Run it again to resume it, or set force (--force) to end it here and now."
            raise BadInput("rollback", problem, remedy=remedy)
    for member in () if force else _moved(state):
        require_ready(cluster, member.release, route_of(member.route))
    if state.ended:
        _require_untouched(state, cluster)
    return TrainRollbackPlan(state, cluster.ref, clock or SystemClock())


def undo_train(
    change_id: str, cluster: Cluster, journal: Journal, records: Sequence[Mapping[str, Any]]
) -> Change:
    """Restore the weights from before a train, those of its last release first.

    Raises ``BadInput`` if it changed none or is still running, and ``ManualActionRequired``, without changing
    anything, if someone else has changed them since. An interrupted undo is completed by the next call.
    """
    from meshkit.operations.clock import SystemClock

    name = folded(records).train.name
    state = train_state(name, cluster)
    if state.change_id != change_id:
        problem = f"{change_id} is not the latest run of train {name}, which is {state.change_id}."
        raise BadInput("change", problem, remedy="Undo the latest run first.")
    if not state.ended:
        problem = f"{change_id} is the train {name!r}, which is still running."
        remedy = f"Roll it back with 'meshkit release rollback {name}'; if its process has died, add --force."
        raise BadInput("change", problem, remedy=remedy)
    if not _moved(state):
        problem = f"{change_id} left no other weights than before."
        raise BadInput("change", problem, remedy="There is nothing to undo.")
    _require_untouched(state, cluster)
    _give_back(state, cluster, journal, SystemClock())
    return Change(change_id, f"Undo of {records[0]['what']}", len(state.members), cluster.ref)


def _moved(state: TrainState) -> tuple[ReleaseState, ...]:
    """The releases that have ended with other weights than before, the last first."""
    return tuple(each for each in reversed(state.members) if each.given_away)


def _routes(member: ReleaseState) -> list[WeightedRoute]:
    return [route_of(member.route), *(place_of(record).route for record in member.edges)]


def _require_untouched(state: TrainState, cluster: Cluster) -> None:
    """Raise ``ManualActionRequired`` if others have changed weights since the end of the train."""
    for member in _moved(state):
        for route in _routes(member):
            now = percent_now(route, member.release, cluster)
            left = (member.asked_percent, member.found_percent)
            if now is None or not any(same_percent(now, share) for share in left):
                found = "cannot be read" if now is None else f"has {now:g} % for {member.release.canary}"
                raise ManualActionRequired(
                    f"{route} has since been changed by others: it {found}, the train left {left[0]:g} %.",
                    remedy="Nothing was changed. Plan a Route with the weights you want.",
                )


def _give_back(state: TrainState, cluster: Cluster, journal: Journal, clock: Clock) -> None:
    """Restore the weights of each release, and record that the train is undone."""
    for member in _moved(state):
        undo_one(member.change_id, cluster, journal, journal.records(member.change_id))
    record = {"kind": "undone", "state": "undone", "at_s": clock.now(), "who": cluster.api.whoami()}
    journal.append(state.change_id, record)
