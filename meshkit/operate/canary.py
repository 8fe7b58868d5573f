"""Canary releases: run one to its end, speak to one that runs, look at one. All through the cluster.

The loop lives in the process that calls ``canary``; any number of others may watch (``canary_state``) and
command (``send``). One writer at a time, by a Lease that expires when its holder vanishes: whoever calls
``canary`` with the same release then goes on from the journal. A release that ended undecided is taken up
again the same way.

Rights: get and patch on the mesh's route object, list on pods and get on pods/proxy (to measure), and get,
create and patch on configmaps and leases in meshkit's namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from meshkit.errors import BadInput, Conflict, RolledBack, Undecided, UnknownName
from meshkit.operate.canary_state import CanaryState, fold

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.intent.release import Release
    from meshkit.observe.counters import Observer
    from meshkit.operate.canary_mailbox import Mailbox, Verb
    from meshkit.operate.canary_route import RouteObject
    from meshkit.operate.clock import Clock

Result = Literal["promoted", "rolled_back", "undecided"]

LEASE_S = 15.0
"""How long a runner may be silent before another may take over; never less than three looks."""

_EXIT_CODES: dict[Result, int] = {"promoted": 0, "rolled_back": 1, "undecided": 3}


@dataclass(frozen=True)
class Outcome:
    """How a release ended. ``change_id`` names its journal; ``sentences`` say why, the most important
    first.
    """

    result: Result
    change_id: str
    sentences: tuple[str, ...]
    state: CanaryState

    def __str__(self) -> str:
        return f"{self.result.replace('_', ' ')}: {' '.join(self.sentences)}"

    def __repr__(self) -> str:
        return str(self)

    @property
    def exit_code(self) -> int:
        """0 promoted, 1 rolled back, 3 undecided."""
        return _EXIT_CODES[self.result]

    def require_promoted(self) -> None:
        """Return if the canary was promoted; else raise RolledBack or Undecided, which say why."""
        if self.result == "rolled_back":
            raise RolledBack(
                " ".join(self.sentences), remedy="Look at the chart, correct the new version, release again."
            )
        if self.result == "undecided":
            raise Undecided(
                " ".join(self.sentences), remedy="Run the release again to go on from here, or roll it back."
            )


def canary(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str,
    observer: Observer | None = None,
    clock: Clock | None = None,
    on_look: Callable[[CanaryState], None] | None = None,
) -> Outcome:
    """Run a release to its end, or go on with it where a vanished runner stopped.

    ``on_look`` is called after every look with a snapshot. Raises BadInput before anything is changed when
    the release does not fit the route, Conflict when another process runs it, NeedsPerson when the route
    disappears.
    """
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.meshes import mesh as mesh_named
    from meshkit.operate.canary_mailbox import Mailbox
    from meshkit.operate.canary_run import Runner
    from meshkit.operate.clock import SystemClock

    clock = clock or SystemClock()
    observer = observer or mesh_named(mesh).observer
    journal, mailbox = Journal(cluster), Mailbox(cluster, release.name)
    lock_name = f"canary-{release.namespace}-{release.service}"
    lock = Lock(cluster, lock_name)
    _take(lock, cluster, lock_name, max(LEASE_S, 3 * release.look_s), clock)
    try:
        state = _going_on(release, cluster, mesh, journal, mailbox, clock)
        runner = Runner(
            state,
            cluster,
            observer=observer,
            clock=clock,
            journal=journal,
            lock=lock,
            mailbox=mailbox,
            on_look=on_look or (lambda _: None),
        )
        state = runner.run()
    finally:
        lock.release()
    return Outcome(cast(Result, state.result), state.change_id, state.sentences, state)


def send(cluster: Cluster, release_name: str, verb: Verb) -> None:
    """Tell the runner of a release to hold, resume, promote (to 100 % at once) or roll back.

    The command waits in the cluster until a runner reads it at its next look.
    """
    from meshkit.operate.canary_mailbox import Mailbox

    Mailbox(cluster, release_name).put(verb)


def canary_state(cluster: Cluster, release_name: str) -> CanaryState:
    """A snapshot of the latest run of a release, read from its journal. Raises UnknownName when there is
    none.
    """
    from meshkit.cluster.journal import Journal
    from meshkit.operate.canary_mailbox import Mailbox

    change_id = Mailbox(cluster, release_name).change_id()
    if change_id is None:
        raise UnknownName("release", release_name, ())
    return fold(Journal(cluster).records(change_id))


def _take(lock: Lock, cluster: Cluster, name: str, duration_s: float, clock: Clock) -> None:
    """Take the lock. One whose holder has vanished is waited for; one that is being renewed raises
    Conflict.
    """
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


def _going_on(
    release: Release, cluster: Cluster, mesh: str, journal: Journal, mailbox: Mailbox, clock: Clock
) -> CanaryState:
    """The state to start from: a new run, or one that is under way or undecided."""
    from meshkit.operate.canary_route import route_object

    route = route_object(mesh, release)
    change_id = mailbox.change_id()
    if change_id is not None:
        state = fold(journal.records(change_id))
        if state.result in (None, "undecided"):
            if state.release != release or state.mesh != mesh:
                raise BadInput(
                    "release",
                    f"{release.name!r} is under way with other settings.",
                    remedy="Run it with the same settings, roll it back first, or choose another name.",
                )
            return _reopened(state, cluster, route, journal, clock) if state.ended else state
    return _begun(release, cluster, mesh, route, journal, mailbox, clock)


def _begun(
    release: Release,
    cluster: Cluster,
    mesh: str,
    route: RouteObject,
    journal: Journal,
    mailbox: Mailbox,
    clock: Clock,
) -> CanaryState:
    from meshkit.operate.canary_route import weights_of

    obj = _route_now(cluster, route)
    found = weights_of(obj, release)
    if found.canary_percent >= release.steps[0]:
        raise BadInput(
            "release.canary",
            f"{release.canary} already gets {found.canary_percent:g} % of {route}.",
            remedy=f"Give all weight to {release.stable} first, or start with a higher step.",
        )
    change_id = journal.start(
        f"canary {release.namespace}/{release.name}", f"{release.stable} to {release.canary}"
    )
    record = {
        "kind": "begin",
        "at_s": clock.now(),
        "change_id": change_id,
        "release": release.model_dump(mode="json"),
        "mesh": mesh,
        "who": cluster.api.whoami(),
        "object": str(route),
        "weights": [found.stable.weight, found.canary.weight],
        "managed_fields": obj["metadata"].get("managedFields") or [],
    }
    journal.append(change_id, record)
    mailbox.open(change_id)
    return fold([record])


def _reopened(
    state: CanaryState, cluster: Cluster, route: RouteObject, journal: Journal, clock: Clock
) -> CanaryState:
    """An undecided release, taken up again with a new deadline and the owners that its route has now."""
    from meshkit.operate.canary_state import after

    record = {
        "kind": "reopen",
        "at_s": clock.now(),
        "who": cluster.api.whoami(),
        "managed_fields": _route_now(cluster, route)["metadata"].get("managedFields") or [],
    }
    journal.append(state.change_id, record)
    return after(state, record)


def _route_now(cluster: Cluster, route: RouteObject) -> dict[str, Any]:
    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None:
        raise BadInput(
            "release.service",
            f"{route} does not exist.",
            remedy="Plan a Route with both versions first (mk.plan).",
        )
    return obj
