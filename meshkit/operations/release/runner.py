"""The outcome of a release, commands to it, its state and its lock, all through the cluster.

The loop runs in the process that applies the plan of a release; any number of other processes can read its
state (``release_state``) and send commands (``send_command``). A Lease that expires when its holder has died
ensures a single writer; the next plan of the same release then resumes from the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from meshkit.errors import BadInput, BrokenJournal, Conflict, RolledBack, Undecided, UnknownName
from meshkit.facts import ClusterRef
from meshkit.operations.plan import outcome
from meshkit.operations.release.state.fold import fold
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.weights import same_percent

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.lock import Lock
    from meshkit.intent.release import Release
    from meshkit.operations.clock import Clock
    from meshkit.operations.release.commands import Verb

Result = Literal["promoted", "rolled_back", "undecided"]

LEASE_S = 15.0
"""How long a runner may fail to renew its lock before another may take over; at least three iterations."""

_EXIT_CODES: dict[Result, int] = {"promoted": 0, "rolled_back": 1, "undecided": 3}


State = TypeVar("State")


@dataclass(frozen=True)
class Ending(Generic[State]):
    """The result of what was released; ``sentences`` explain it, the most important first.

    ``change_id`` is the id of its journal.
    """

    result: Result
    change_id: str
    sentences: tuple[str, ...]
    state: State
    cluster: ClusterRef

    def __str__(self) -> str:
        return f"{self.result.replace('_', ' ')} on cluster {self.cluster}: {' '.join(self.sentences)}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return outcome(str(self))

    @property
    def exit_code(self) -> int:
        """0 promoted, 1 rolled back, 3 undecided."""
        return _EXIT_CODES[self.result]


@dataclass(frozen=True, repr=False)
class Outcome(Ending[ReleaseState]):
    """The result of a release."""

    def require_promoted(self) -> None:
        """Raise ``RolledBack`` or ``Undecided``, with the reasons, unless the canary was promoted."""
        if self.result == "rolled_back":
            raise RolledBack(
                " ".join(self.sentences),
                remedy="Look at the chart, correct the new version, and release again.",
            )
        if self.result == "undecided":
            raise Undecided(
                " ".join(self.sentences),
                remedy="Make sure that both versions get requests, then release again.",
            )


def send_command(release_name: str, verb: Verb, cluster: Cluster) -> None:
    """Tell the runner of a release to hold, resume, promote (to 100 % at once) or roll back.

    The command is stored in the cluster until the runner's next iteration. Raises ``BadInput`` if the release
    has ended; ``mk.plan_rollback`` then gives the requests back. A train takes the same commands for all of
    its releases, which do not take them one by one.
    """
    from meshkit.operations.release.commands import Mailbox, require_verb, train_of

    require_verb(verb)
    if train_of(release_name, cluster):
        from meshkit.operations.release.train.commands import send_to_train

        send_to_train(release_name, verb, cluster)
        return
    state = _latest(release_name, cluster)
    if state is not None:
        require_alone(state, verb)
    if state is not None and state.ended:
        if verb == "rollback" and same_percent(state.asked_percent, state.found_percent):
            return
        raise has_ended(state, verb)
    if verb == "resume" and state is not None and state.frozen and state.harmed:
        problem = f"{state.release.canary} is still worse, so release {release_name} stays frozen."
        decide = f"'meshkit release rollback {release_name}' or 'meshkit release promote {release_name}'"
        raise BadInput(verb, problem, remedy=f"Decide by {decide}.")
    Mailbox(cluster, release_name).put(verb)


def require_alone(state: ReleaseState, verb: str) -> None:
    """Raise ``BadInput``, which names the train, for a command to a release that is a member of one."""
    if state.train:
        name, train = state.release.name, state.train
        problem = f"release {name} is a member of train {train}, whose releases go together."
        raise BadInput(verb, problem, remedy=f"Address the train: 'meshkit release {verb} {train}'.")


def has_ended(state: ReleaseState, verb: str, words: str = "") -> BadInput:
    """Return the refusal of a command to a release that has ended, which names the way that works.

    ``words`` are the options that select the cluster, for the commands that it names.
    """
    release, name = state.release, state.release.name
    problem = f"release {name} has ended: {(state.result or '').replace('_', ' ')}."
    again = f"'meshkit release run -f FILE{words}' starts it again."
    if same_percent(state.asked_percent, state.found_percent):
        return BadInput(verb, problem, remedy=f"{release.stable} has its requests back. {again}")
    back = f"'meshkit release rollback {name}{words}' gives the requests back to {release.stable}"
    now = f"{release.canary} got {state.asked_percent:g} % at its end."
    return BadInput(verb, problem, remedy=f"{now} {back}; {again}")


def release_state(release_name: str, cluster: Cluster) -> ReleaseState:
    """Read a snapshot of the latest run of a release.

    Raises ``UnknownName`` if there is none, ``BadInput`` if the name is that of a train, and ``ReleaseLost``
    if its records were deleted before its end.
    """
    state = _latest(release_name, cluster)
    if state is None:
        from meshkit.operations.release.commands import names

        raise UnknownName("release", release_name, names(cluster))
    return state


def runner_of(release: Release, cluster: Cluster) -> str | None:
    """The process that runs the release, or None if no process does; a stored command then has no effect."""
    from meshkit.cluster.lock import holder_of

    return holder_of(cluster, lock_name(release))


def wait_for_runner(state: ReleaseState, cluster: Cluster, clock: Clock | None = None) -> ReleaseState:
    """Wait until a release has ended or no process runs it, and return its state then.

    A process that was killed holds its Lease until it expires; one that lives carries a command out in its
    next iteration. After the duration of a Lease, the state is returned whatever it is.
    """
    from meshkit.operations.clock import SystemClock

    clock = clock or SystemClock()
    until_s = clock.now() + _lease_s(state.release) + 2
    while not state.ended and runner_of(state.release, cluster) and clock.now() < until_s:
        clock.sleep(1)
        state = release_state(state.release.name, cluster)
    return state


def ended_run(release_name: str, change_id: str, cluster: Cluster) -> ReleaseState | None:
    """Read one run of a release if it is the latest and has ended, else return None."""
    state = _latest(release_name, cluster)
    return state if state is not None and state.ended and state.change_id == change_id else None


def running_state(release_name: str, cluster: Cluster) -> ReleaseState | None:
    """Read the latest run of a release if it has not ended, else return None."""
    state = _latest(release_name, cluster)
    return state if state is not None and not state.ended else None


def _latest(release_name: str, cluster: Cluster) -> ReleaseState | None:
    from meshkit.cluster.journal import Journal
    from meshkit.operations.release.commands import Mailbox, members_in
    from meshkit.operations.release.restoring.lost_journal import release_lost

    mailbox = Mailbox(cluster, release_name)
    change_id = mailbox.change_id()
    if change_id is None:
        return None
    try:
        return fold(Journal(cluster).records(change_id))
    except (UnknownName, BrokenJournal) as error:
        begin, end = mailbox.begin(), mailbox.end()
        if members := members_in(begin):
            problem = f"{release_name} is a train of {len(members)} releases."
            raise BadInput("release", problem, remedy=f"Name one of them: {', '.join(members)}.") from error
        if begin is not None and end is not None:
            return fold([begin, end])
        raise release_lost(release_name, change_id, begin, cluster) from error


@contextmanager
def hold_lock(cluster: Cluster, release: Release, clock: Clock | None = None) -> Iterator[Lock]:
    """Hold the lock of the release's weights for the duration of a ``with`` block.

    Raises ``Conflict`` if another process holds it.
    """
    from meshkit.cluster.lock import Lock
    from meshkit.operations.clock import SystemClock

    name = lock_name(release)
    lock = Lock(cluster, name)
    _take(lock, cluster, name, _lease_s(release), clock or SystemClock())
    try:
        yield lock
    finally:
        lock.release()


def _lease_s(release: Release) -> float:
    return max(LEASE_S, 3 * release.look_s)


def lock_name(release: Release) -> str:
    """The name of the Lease for the weights of a release."""
    return f"release-{release.namespace}-{release.service}"


def _take(lock: Lock, cluster: Cluster, name: str, duration_s: float, clock: Clock) -> None:
    """Take the lock: wait for one whose holder has died, raise ``Conflict`` for one that is being renewed."""
    from meshkit.cluster.journal import NAMESPACE
    from meshkit.cluster.lock import LEASE

    until, seen = clock.now() + duration_s + 2, ""
    while True:
        try:
            lock.acquire(duration_s)
            return
        except Conflict:
            lease = cluster.api.get(LEASE, name, NAMESPACE) or {}
            renewed = str((lease.get("spec") or {}).get("renewTime"))
            if clock.now() >= until or seen not in ("", renewed):
                raise
            seen = renewed
            clock.sleep(1)
