"""``mk.plan_train`` plans each release of a train; ``mk.apply`` runs them together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput, Conflict
from meshkit.facts import ClusterRef
from meshkit.operations.plan import pending
from meshkit.operations.progress import OnEvent, ReleaseLooked, noop
from meshkit.operations.release import rights
from meshkit.operations.release.commands import TRAIN_BEGIN, Mailbox, MemberMailbox, TrainMailbox, members_in
from meshkit.operations.release.plan import ReleasePlan, plan_member
from meshkit.operations.release.runner import Ending, hold_lock, lock_name
from meshkit.operations.release.train.state import Decision, TrainState, running_train, train_state

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.intent.train import ReleaseTrain
    from meshkit.observe.counters import Observer
    from meshkit.operations.clock import Clock
    from meshkit.operations.release.running.loop import Runner
    from meshkit.operations.release.running.permission import Permission
    from meshkit.operations.release.state.model import ReleaseState
    from meshkit.operations.release.train.records import TrainRecords

Locks = Mapping[str, "Lock"]
"""The lock of each release, by its name."""


@dataclass(frozen=True, repr=False)
class TrainOutcome(Ending[TrainState]):
    """The result of a train."""


@dataclass(frozen=True)
class TrainPlan:
    """A plan of ``mk.plan_train``: the plan of each release that has not ended, in order.

    A plan that is applied again resumes its own train if the process has died.
    """

    train: ReleaseTrain
    mesh: str
    cluster: ClusterRef
    change_id: str
    members: tuple[ReleasePlan, ...]
    observer: Observer = field(repr=False, compare=False)
    clock: Clock = field(repr=False, compare=False)
    resumed: TrainState | None = None
    """The state of the train if its run has not ended; the plan then resumes it."""

    confirmation = ""
    empty = False

    @property
    def heading(self) -> str:
        """Summarise what the plan does, and where."""
        what = f"Release train {self.train.name}, {self.mesh} on cluster {self.cluster}"
        if self.resumed is not None:
            return f"{what}: resumes change {self.change_id}, {self.resumed.status.replace('_', ' ')}."
        order = ", then ".join(self.train.names)
        return f"{what}: {len(self.members[0].release.ladder)} steps, each by {order}."

    def text(self, *, forecast: bool = True) -> str:
        """The plan as text, with the forecast of each release, which is measured, or without it."""
        return "\n\n".join((self.heading, *(each.text(forecast=forecast) for each in self.members)))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(max(1, len(self.members)))

    def to_json(self) -> str:
        """The plan as a JSON text."""
        return json.dumps(self.as_record(), indent=2)

    def as_record(self) -> dict[str, Any]:
        """The plan as a JSON-ready mapping."""
        return {
            "what": f"Release train {self.train.name}",
            "mesh": self.mesh,
            "cluster": vars(self.cluster),
            "change": self.change_id,
            "releases": [each.as_record() for each in self.members],
            "resumes": self.resumed.as_record() if self.resumed else None,
        }

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> TrainOutcome:
        """Run the train to its end, or resume it; ``mk.apply`` calls this.

        ``progress`` gets a ``ReleaseLooked`` after every look of a release. Before any change, it raises
        ``Forbidden`` naming missing rights, and ``Conflict`` if another process runs one of the releases, or
        if weights or the train have changed since the plan; later, what stops a release.
        """
        from meshkit.cluster.journal import Journal
        from meshkit.operations.release.running.start import start
        from meshkit.operations.release.train.records import TrainRecords

        for each in self.members:
            rights.require_rights(cluster, each.routes, each.release)
        with locked(self.train, cluster, self.clock) as locks:
            self._require_current(cluster)
            journal, lock = Journal(cluster), locks[self.train.names[0]]
            begin = TrainMailbox(cluster, self.train.name).begin() if self.resumed else None
            begin = begin or self._begin(cluster, lock)
            records = TrainRecords(begin, cluster, journal, lock, self.clock)
            records.start(why)
            found = {each.release.name: each for each in self.resumed.members} if self.resumed else {}
            for plan in self.members:
                name = plan.release.name
                found[name] = start(plan, cluster, journal, Mailbox(cluster, name), locks[name], why)
            return run_train(
                self.train,
                [found[name] for name in self.train.names],
                cluster,
                locks=locks,
                observer=self.observer,
                clock=self.clock,
                journal=journal,
                records=records,
                decision=train_state(self.train.name, cluster).decision,
                progress=progress,
            )

    def _begin(self, cluster: Cluster, lock: Lock) -> dict[str, Any]:
        """The first record of the train, with that of each release."""
        from meshkit.operations.release.running.start import first_record

        stamp = {"at_s": self.clock.now(), "writer": lock.transitions, "who": cluster.api.whoami()}
        return {
            "kind": TRAIN_BEGIN,
            "change_id": self.change_id,
            "train": self.train.model_dump(mode="json"),
            "mesh": self.mesh,
            "members": {each.release.name: first_record(each, cluster, stamp) for each in self.members},
            **stamp,
        }

    def _require_current(self, cluster: Cluster) -> None:
        """Raise ``Conflict`` if another run of the train has begun since the plan, or its own has ended."""
        running = running_train(self.train.name, cluster)
        last = TrainMailbox(cluster, self.train.name).change_id()
        if (running and running.change_id != self.change_id) or (not running and last == self.change_id):
            problem = f"Train {self.train.name} was started, or has ended, since the plan."
            raise Conflict(problem, remedy="Nothing was changed. Plan again.")


def plan_train(
    train: ReleaseTrain,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> TrainPlan:
    """Plan a train of releases, or the rest of one whose process has died; changes nothing.

    Raises what ``plan_release`` raises for one of the releases, and ``BadInput`` if one of them already runs
    outside the train, or if the train already runs with other settings.
    """
    from meshkit.cluster.journal import new_id
    from meshkit.observe.source import observer as observer_of
    from meshkit.operations.clock import SystemClock
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh, [release.namespace for release in train.releases])
    observer, clock = observer or observer_of(mesh, prometheus), clock or SystemClock()
    resumed = running_train(train.name, cluster)
    if resumed is not None and (resumed.train != train or resumed.mesh != mesh):
        problem = f"{train.name!r} is already running with other settings."
        remedy = "Run it with the same settings, or roll it back first."
        raise BadInput("release_train", problem, remedy=remedy)
    begin = Mailbox(cluster, train.name).begin()
    if begin is not None and not members_in(begin):
        problem = f"{train.name!r} is the name of a release of this cluster."
        raise BadInput("release_train.name", problem, remedy="Choose another name.")
    plans = []
    for number, release in enumerate(train.releases):
        if resumed and resumed.members[number].ended:
            continue
        plan = plan_member(
            train.name, release, cluster, mesh=mesh, prometheus=prometheus, observer=observer, clock=clock
        )
        if resumed is None and plan.resumed is not None:
            problem = f"release {release.name!r} still runs, in an earlier run of the train."
            raise BadInput("release_train.releases", problem, remedy="Restore the train's records.")
        plans.append(plan.as_change(resumed.members[number].change_id) if resumed else plan)
    return TrainPlan(
        train=train,
        mesh=mesh,
        cluster=cluster.ref,
        change_id=resumed.change_id if resumed else new_id(),
        members=tuple(plans),
        observer=observer,
        clock=clock,
        resumed=resumed,
    )


@contextmanager
def locked(train: ReleaseTrain, cluster: Cluster, clock: Clock) -> Iterator[Locks]:
    """Hold the locks of all releases, taken in the order of their names, so that no two trains wait for each
    other.
    """
    with ExitStack() as stack:
        found: dict[str, Lock] = {}
        for release in sorted(train.releases, key=lock_name):
            found[release.name] = stack.enter_context(hold_lock(cluster, release, clock))
        for lock in found.values():
            lock.renew()  # The first ones have waited for the last ones.
        yield found


def run_train(
    train: ReleaseTrain,
    members: Sequence[ReleaseState],
    cluster: Cluster,
    *,
    locks: Locks,
    observer: Observer,
    clock: Clock,
    journal: Journal,
    records: TrainRecords,
    decision: Decision | None,
    progress: OnEvent = noop,
) -> TrainOutcome:
    """Run the releases of a train, which have begun, to their end; the caller holds ``locks``."""
    from meshkit.operations.release.running.loop import Runner
    from meshkit.operations.release.train.running import TrainRunner

    commands = TrainMailbox(cluster, train.name)

    def make(state: ReleaseState, permission: Permission) -> Runner:
        name = state.release.name
        return Runner(
            state,
            cluster,
            observer=observer,
            clock=clock,
            journal=journal,
            lock=locks[name],
            mailbox=MemberMailbox(cluster, name, commands),
            on_look=lambda seen: progress(ReleaseLooked(seen)),
            permission=permission,
        )

    TrainRunner(train, members, make, records=records, clock=clock, decision=decision).run()
    state = train_state(train.name, cluster)
    assert state.result is not None
    return TrainOutcome(state.result, state.change_id, state.sentences, state, cluster.ref)
